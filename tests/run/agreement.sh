#!/usr/bin/env bash
# Ranks with different configurations, programs or files are refused, and the first difference is named. A message that several
# ranks have is printed once.
source "$(dirname "$0")/common.sh"
make_data
make_config
run=(mpirun --allow-run-as-root --oversubscribe --bind-to none)
common=(--config "$work/config.yaml" --training.steps=2)

# says_once RANKS CODE WORDS ARGUMENTS...: the job logs exactly one error, which contains WORDS.
says_once() {
    local count=$1 code=$2 words=$3 got=0
    shift 3
    "${run[@]}" -np "$count" "$FLAME" "${common[@]}" "$@" >"$work/log" 2>&1 || got=$?
    [ "$got" = "$code" ] || { cat "$work/log"; fail "$*: exit code $got, not $code"; }
    [ "$(grep -c 'error: ' "$work/log")" = 1 ] && grep -q "error: .*$words" "$work/log" || { cat "$work/log"; fail "$*: not exactly one error with: $words"; }
}
says_once 3 1 'nowhere.h5: ' --data.files="$work/nowhere.h5"
says_once 3 1 'nowhere' --checkpoint.initial_load_path="$work/nowhere"
says_once 3 2 'seq_len' --training.seqlen=3

# differs WORDS A B: rank 0 gets the arguments A, rank 1 B (words in one string); refused with WORDS, and nothing is left behind.
differs() {
    rm -rf "$work/run"
    local got=0
    "${run[@]}" -np 1 "${program[0]}" ${2:---training.steps=2} : -np 1 "${program[1]}" ${3:---training.steps=2} >"$work/log" 2>&1 || got=$?
    [ "$got" = 1 ] || { cat "$work/log"; fail "rank 0 with $2, rank 1 with $3: exit code $got"; }
    grep -q "error: .*the ranks differ: $1" "$work/log" || { cat "$work/log"; fail "rank 0 with $2, rank 1 with $3: missing message: $1"; }
    [ -z "$(find "$work/run" -type f ! -name .lock 2>/dev/null)" ] || fail "rank 0 with $2, rank 1 with $3: files are left behind"
}
program=("$FLAME" "$FLAME")
base="--config $work/config.yaml --training.steps=2"
differs 'training.seed is 7 on rank 0 and 8 on rank 1' "$base" "$base --training.seed=8"
differs 'training.steps is 2 on rank 0 and 3 on rank 1' "$base" "$base --training.steps=3"
differs 'model.num_hidden_layers is 2 on rank 0 and 4 on rank 1' "$base" "$base --model.num_hidden_layers=4"
sed 's/layers: \[1\]/layers: [0]/' "$work/config.yaml" >"$work/other.yaml"
differs 'model.attn.layers is .1. on rank 0 and .0. on rank 1' "$base" "--config $work/other.yaml --training.steps=2"
differs '--seq-len is 8 on rank 0 and 2048 on rank 1' "eval --checkpoint $work --data $work/data.h5 --seq-len 8" \
    "eval --checkpoint $work --data $work/data.h5"
golden=$source_folder/tests/golden
continues="generate --checkpoint $golden/gla --ids --prompt 1"
differs '--stop is nothing on rank 0 and 5 on rank 1' "$continues" "$continues --stop 5"
differs '--prompt is 1 on rank 0 and nothing on rank 1' "$continues" "$continues 2"
differs '--out is nothing on rank 0 and .*texts.jsonl on rank 1' "$continues" "$continues --out $work/run/texts.jsonl"
reads="generate --checkpoint $golden/gla --ids --prompt-file prompts.jsonl"
differs '--step is 2 on rank 0 and 3 on rank 1' "replay $work/run --step 2" "replay $work/run --step 3"
differs '--dtype is float32 on rank 0 and bfloat16 on rank 1' "verify $golden/gla" "verify $golden/gla --dtype bfloat16"
differs '--seeds is 1 on rank 0 and 2 on rank 1' "suite mqar --mixers gla --quick" "suite mqar --mixers gla --quick --seeds 2"
times="bench --config $work/config.yaml --device cpu --steps 1"
differs '--steps is 1 on rank 0 and 2 on rank 1' "$times" "bench --config $work/config.yaml --device cpu --steps 2"
differs 'training.seed is 7 on rank 0 and 8 on rank 1' "$times" "$times --training.seed=8"
differs 'the command is train on rank 0 and eval (unknown option --chekpoint' "$base" "eval --chekpoint $work"
program=("$FLAME" "${BUILD:?the build folder}/tests/flame-c-guarded")
differs 'the program is flame-c .*build .* on rank 0 and flame-c .*build .* on rank 1' "$base" "$base"
program=("$FLAME" "$FLAME")

# The same paths with different contents, as on hosts with different file systems: each rank has its own working folder.
cat >"$work/on_its_host" <<END
#!/bin/sh
cd $work/host-\$OMPI_COMM_WORLD_RANK && exec $FLAME "\$@"
END
chmod +x "$work/on_its_host"
program=("$work/on_its_host" "$work/on_its_host")
mkdir "$work/host-0" "$work/host-1"
"$FLAME" data build --text "$source_folder/src/base" --out "$work/host-1/data.h5" >/dev/null 2>&1
cp "$work/data.h5" "$work/host-0"
echo '{"prompt": [1]}' >"$work/host-0/prompts.jsonl"
echo '{"prompt": [1], "stop": ["5"]}' >"$work/host-1/prompts.jsonl"
differs 'prompt 1 is 1 tokens, .* 0 stop texts, .* on rank 0 and 1 tokens, .* 1 stop texts, .* on rank 1' "$reads" "$reads"
echo '{"prompt": [1], "max_new_tokens": 5}' >"$work/host-1/prompts.jsonl"
differs 'prompt 1 is 1 tokens, .* max_new_tokens 0.* on rank 0 and 1 tokens, .* max_new_tokens 5.* on rank 1' "$reads" "$reads"
here="$base --data.files=data.h5 --job.dump_folder=run"
differs 'data.h5 is .* bytes, .* tokens.* on rank 0 and .* bytes, .* tokens.* on rank 1' "$here" "$here"
validates="$base --data.validation_files=data.h5 --job.dump_folder=run"
differs 'data.h5 is .* bytes, .* tokens.* on rank 0 and .* bytes, .* tokens.* on rank 1' "$validates" "$validates"
cp "$work/data.h5" "$work/host-1"
for rank in 0 1; do
    (cd "$work/host-$rank" && "$FLAME" $here --checkpoint.enable_checkpoint=true --optimizer.lr=0.00$((rank + 1)) >"$work/log" 2>&1) ||
        { cat "$work/log"; fail "a run with checkpoints"; }
done
differs 'run/checkpoint/step-00000002 is a checkpoint with the CRC .* on rank 0' "$here --checkpoint.enable_checkpoint=true" \
    "$here --checkpoint.enable_checkpoint=true"
from="$base --data.files=data.h5 --checkpoint.initial_load_path=run"
differs '.*model.safetensors is .* bytes with the CRC .* on rank 0' "$from" "$from"
echo "ranks with other keys, programs, data and checkpoints are refused;" \
    "what all ranks have to say is said once"
