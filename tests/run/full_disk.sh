#!/usr/bin/env bash
# Files that cannot grow, and standard output that takes nothing: an error with exit code 3, and nothing half-written stays.
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
    (ulimit -f 1 && exec "$FLAME" "${@:2}") >log 2>&1 || code=$?
    [ $code = 3 ] && [ -z "$(ls -A out)" ] || { cat log; fail "$1: exit code $code, left $(ls -A out)"; }
    [ "$(grep -c 'error: .*File too large' log)" = 1 ] || { cat log; fail "$1: not one message"; }
}
grows_not export export --checkpoint run --out out/exported
grows_not import import --from "$golden" --out out/imported
grows_not logits logits --checkpoint "$golden" --tokens "$golden/io.safetensors" --out out/logits.safetensors
grows_not eval eval --checkpoint run --data data.h5 --seq-len 64 --samples 8 --json out/eval.json
printf '{"prompt": "a"}\n%.0s' {1..40} >prompts.jsonl
grows_not generate generate --checkpoint run --prompt-file prompts.jsonl --max-new-tokens 8 --ignore-eos --out out/texts.jsonl
echo "what cannot be written is said, and nothing is left of it"
