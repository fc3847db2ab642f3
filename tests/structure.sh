#!/usr/bin/env bash
# Checks the order of the folders of src/, and lists that the compiler does not compare: kernels, ops and their tests.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0

complain() {
    echo "FAILED: $*" >&2
    failed=1
}

# A folder includes itself and those before it.
folders="base tile core config reporting text kernels parallel checkpoint data models training suites commands"
for folder in src/*/; do
    [[ " $folders " == *" $(basename "$folder") "* ]] || complain "$folder has no place in the order of folders: $folders"
done
includes() { # FILE INCLUDED, one line for each #include of a file of src/
    grep -r --include='*.[ch]' '^#include "' src | sed -n 's/^src\/\([^:]*\):#include "\([^"]*\/[^"]*\)".*/\1 \2/p' |
        grep -v -e '/naive\.c ' -e ' [^ ]*\.def$' -e ' core/shared_memory_cuda\.h$'
}
wrong=$(includes | awk -v order="$folders" '
    BEGIN { n = split(order, folder, " "); for (i = 1; i <= n; i++) place[folder[i]] = i }
    { split($1, from, "/"); split($2, to, "/"); if ($1 ~ /\// && place[to[1]] > place[from[1]]) print $1 " includes " $2 }')
[ -z "$wrong" ] || complain "against the order of folders ($folders): $wrong"

# x.c, x.h, x.map.h and x.tile.h are one module; modules do not need each other in circles.
circles=$(includes | sed 's/\(\.tile\|\.map\)\?\.[ch]\b//g' | awk '$1 != $2' | tsort 2>&1 >/dev/null) || true
[ -z "$circles" ] || complain "modules that include each other: $circles"

# A refused allocation is not a bug of the program.
wrong=$(grep -rn --include='*.[ch]' 'CHECK(.*"\(no\|out of\) memory' src || true)
[ -z "$wrong" ] || complain "use CHECK_MEMORY instead of CHECK for a refused allocation: $wrong"

# KERNEL(name) of the kernel files = core/kernels.def, where one file may be compiled for several sizes, with gates, or for strict attention: name_64.
defined=$(grep -rhoE '\bKERNEL\([a-z0-9_]+, ' src/kernels src/core | sed 's/KERNEL(//; s/, //' | sort -u)
defined+=$'\n'$(grep -hoE '\b[A-Z_]*KERNEL\([a-z0-9_]+\)' src/kernels/*/*/*.h | sed 's/.*(//; s/)//' | sort -u)
listed=$(sed -n 's/^KERNEL_ENTRY(\(.*\))/\1/p' src/core/kernels.def | sed -E 's/(_gates|_strict)?_(32|64|128|256)$//; s/_[12]$//' | sort -u)
defined=$(sort -u <<<"$defined" | grep -vx -e name -e '')
[ "$defined" = "$listed" ] || complain "kernel files and core/kernels.def differ: $(diff <(echo "$defined") <(echo "$listed"))"

# Ops of kernels/ops.h = rows of tests/ops/op_tests.def.
ops=$(sed -nE 's/^(Tensor \*|void )([a-z0-9_]+)\(Tape \*tape.*/\2/p' src/kernels/ops.h | sort)
tested=$(sed -n 's/^OP_TEST(\(.*\))/\1/p' tests/ops/op_tests.def | sort)
[ "$ops" = "$tested" ] || complain "kernels/ops.h and tests/ops/op_tests.def differ: $(diff <(echo "$ops") <(echo "$tested"))"

# Mixers of models/mixers.def = those that launch/mixers.sh compares = those in its families, once each.
mixers=$(sed -n 's/^MIXER(\(.*\))/\1/p' src/models/mixers.def | sort)
source launch/mixers.sh
compared=$(printf '%s\n' "${!mixer_keys[@]}" | sort)
in_families=$(printf '%s\n' "${mixer_families[@]#*:}" | tr ' ' '\n' | grep . | sort)
[ "$mixers" = "$compared" ] || complain "models/mixers.def and launch/mixers.sh differ: $(diff <(echo "$mixers") <(echo "$compared"))"
[ "$mixers" = "$in_families" ] || complain "models/mixers.def and the families of launch/mixers.sh differ: $(diff <(echo "$mixers") <(echo "$in_families"))"

# Every key of a table is read: its field is used somewhere, or the key's text says that it has no effect.
unread=""
while read -r row; do
    grep -qE 'KEY_CHOICE.* 0, 0, "[^|]*",|kept in config.yaml' <<<"$row" && continue # one choice; only for the reader
    field=$(sed -E 's/.*AT\(([a-z0-9_.]+)\).*/\1/; s/.*\.//' <<<"$row")
    grep -rqE --include='*.c' --exclude=config_keys.c "(\.|->)$field\b" src || unread+=" $field"
done < <(tr '\n' ' ' <src/config/config_keys.c | sed 's/{"/\n/g' | grep 'AT(' | grep -v '#define')
for file in src/models/*.c src/models/mixers/*.c; do
    while read -r field text; do
        grep -qE 'without effect|kernel choice|no table depends|Hugging Face|\(only ' <<<"$text" && continue
        grep -qE "(\.|->)$field\b" src/models/*.c src/models/mixers/*.c || unread+=" $field"
    done < <(tr '\n' ' ' <"$file" | sed 's/ KEY(/\n/g' | sed -nE 's/^[A-Za-z0-9]+, *([A-Za-z0-9_]+), *KEY_/\1 /p' | sed 's/"),.*//')
done
[ -z "$unread" ] || complain "keys that no code reads:$unread"
[ "$failed" = 0 ] && echo "folders in order, no circles, lists complete, keys read"
exit "$failed"
