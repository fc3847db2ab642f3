#!/usr/bin/env bash
# Every script of launch/ answers --help with its own usage and does nothing else; launch/quickstart.sh refuses what is neither
# a key nor --help before it removes the last run.
source "$(dirname "$0")/common.sh"
mkdir -p "$work/tree/runs/quickstart" "$work/bin"
cp -r "$source_folder/launch" "$work/tree/"
touch "$work/tree/runs/quickstart/metrics.jsonl"
for program in apt-get cmake cc mpirun git clang-format gnuplot sudo; do
    printf '#!/bin/sh\necho "%s $*" >>"%s"\n' "$program" "$work/called" >"$work/bin/$program"
done
chmod +x "$work/bin"/*
export PATH=$work/bin:$PATH
cd "$work/tree"
find . | sort >"$work/before"

unchanged() {
    [ ! -e "$work/called" ] || fail "$1 ran $(cat "$work/called")"
    find . | sort | diff "$work/before" - >"$work/diff" || fail "$1 changed $(cat "$work/diff")"
}
for script in launch/*.sh; do
    [ -x "$script" ] || continue
    timeout 10 "$script" --help >"$work/log" 2>&1 || fail "$script --help: exit code $?, $(cat "$work/log")"
    grep -q "$script" "$work/log" || fail "$script --help does not say how it is called: $(cat "$work/log")"
    unchanged "$script --help"
done
got=0
launch/quickstart.sh --steps=5 >"$work/log" 2>&1 || got=$?
[ $got = 2 ] && grep -q -- '--section.key=value' "$work/log" || fail "quickstart.sh --steps=5: exit code $got, $(cat "$work/log")"
unchanged "launch/quickstart.sh --steps=5"
echo "every script says what it does before it does anything"
