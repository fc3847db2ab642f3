#!/usr/bin/env bash
# Files that cannot grow, and standard output that cannot be written, cause an error with exit code 3, and leave no incomplete file.
source "$(dirname "$0")/common.sh"
make_data
make_config
cd "$work"
ranks 1 --config config.yaml --checkpoint.enable_checkpoint=true || { cat log; fail "training"; }
golden=$source_folder/tests/golden/gla

# grows_not NAME ARGUMENTS...: no file may have more than 1 KB, and the command writes into the folder `out`.
grows_not() {
    local code=0
    rm -rf out
    mkdir out
    (ulimit -f 1 && exec "$FLAME" "${@:2}") 2>&1 | cat >log || code=$? # a pipe has no limit
    [ $code = 3 ] && [ -z "$(ls -A out)" ] || { cat log; fail "$1: exit code $code, left $(ls -A out)"; }
    [ "$(grep -c 'error: .*File too large' log)" = 1 ] || { cat log; fail "$1: not one message"; }
}
grows_not export export --checkpoint run --out out/exported
grows_not import import --from "$golden" --out out/imported
grows_not logits logits --checkpoint "$golden" --tokens "$golden/io.safetensors" --out out/logits.safetensors
grows_not eval eval --checkpoint run --data data.h5 --seq-len 64 --samples 8 --json out/eval.json
printf '{"prompt": "a"}\n%.0s' {1..40} >prompts.jsonl
grows_not generate generate --checkpoint run --prompt-file prompts.jsonl --max-new-tokens 8 --ignore-eos --out out/texts.jsonl
grows_not bench bench --config config.yaml --steps 1 --json out/bench.json

# prints_not ARGUMENTS...: what a command prints is lost.
prints_not() {
    local code=0
    "$FLAME" "$@" >/dev/full 2>log || code=$?
    [ $code = 3 ] && [ "$(grep -c 'error: a part of standard output could not be written' log)" = 1 ] || { cat log; fail "$1 on a full disk: exit code $code"; }
}
prints_not --version
prints_not eval --help
prints_not data inspect data.h5
prints_not generate --checkpoint run --prompt a --max-new-tokens 8 --ignore-eos
prints_not suite mqar --dump 3
# A reader that closes its pipe is no error, and a run does not need standard output, because its log is in its folder.
(trap '' PIPE && sleep 0.1 && "$FLAME" --man) 2>log | true && [ ! -s log ] || { cat log; fail "--man to a reader that has left"; }
"$FLAME" --config config.yaml --training.steps=2 --job.dump_folder=silent >/dev/full 2>log || { cat log; fail "training on a full standard output"; }
grep -q '^step *2/2' silent/train.log || fail "no train.log"
echo "what cannot be written is said, and nothing is left of it"
