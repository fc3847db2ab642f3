#!/usr/bin/env bash
# The output that is generated from the tables of commands and keys (shell completion, the manual page), and messages about the
# command line on several ranks.
source "$(dirname "$0")/common.sh"

# completes WORDS... : what bash offers for the last one, in one line.
"$FLAME" --completion bash >"$work/completion"
# shellcheck disable=SC1091 # made by the program
source "$work/completion"
completes() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    _flame_c
    echo "${COMPREPLY[*]}"
}
offers() { # WANTED WORDS...
    local wanted=$1
    shift
    [ "$(completes "$@")" = "$wanted" ] || fail "after '$*' bash offers '$(completes "$@")', not '$wanted'"
}
offers "eval export" flame-c e
offers "build inspect show verify" flame-c data ""
offers "--document" flame-c data build --d
offers "float32 bfloat16" flame-c eval --dtype ""
offers "bfloat16" flame-c eval --dtype = b
offers "--ranks" flame-c plan --r
offers "--training.fsdp_reshard_after_forward" flame-c --training.fs
offers "true false" flame-c train --training.varlen ""
offers "--model.expand_k" flame-c --model.expand_k
offers "" flame-c --config ""
"$FLAME" --man >"$work/manual"
sed 's/\\-/-/g' "$work/manual" >"$work/plain"
for key in $("$FLAME" train --help | sed -n 's/^  \(--[a-z_]*\.[a-z_0-9][a-z_0-9]*\).*/\1/p'); do
    [[ " $(completes flame-c "$key") " == *" $key "* ]] || fail "bash does not know $key"
    grep -qxF -- ".B $key" "$work/plain" || fail "the manual page does not know $key"
done
code=0
"$FLAME" --completion ksh >"$work/out" 2>"$work/err" || code=$?
{ [ "$code" = 2 ] && grep -q 'bash or zsh, not "ksh"' "$work/err"; } || fail "--completion ksh"

# an error in a command line is printed once for any number of ranks, and so is help
ranks 3 eval --sequence-length 5 && fail "an unknown option"
[ "$(grep -c 'error: ' "$work/log")" = 1 ] && grep -q 'eval: unknown option --sequence-length' "$work/log" || { cat "$work/log"; fail "an unknown option on 3 ranks"; }
ranks 3 foo && fail "an unknown command"
[ "$(grep -c 'error: ' "$work/log")" = 1 ] && grep -q 'no command "foo"' "$work/log" || { cat "$work/log"; fail "an unknown command on 3 ranks"; }
for question in --help --version; do
    ranks 3 $question && [ "$(cat "$work/log")" = "$("$FLAME" $question)" ] || { cat "$work/log"; fail "$question on 3 ranks"; }
done
ranks 3 eval --help || fail "help on 3 ranks"
[ "$(grep -c '^flame-c eval --checkpoint' "$work/log")" = 1 ] || { cat "$work/log"; fail "help on 3 ranks"; }

for option in --checkpoint --tolerance --max-shard-size; do
    grep -q "^.B $option " "$work/plain" || fail "the manual page does not know $option"
done
if command -v groff >/dev/null; then
    groff -man -Tascii -ww "$work/manual" >"$work/page" 2>"$work/err" || fail "groff on the manual page"
    [ ! -s "$work/err" ] || fail "the manual page: $(cat "$work/err")"
fi
echo "completion and manual page know all commands, options and keys"
