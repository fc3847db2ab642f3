#!/usr/bin/env bash
# flame-c replay computes a step again with the run's numbers and changes no file of the run. It names the sample, the op and the
# parameter that caused a value that is not finite.
source "$(dirname "$0")/common.sh"
make_data
make_config
train() { ranks "$1" --config "$work/config.yaml" --checkpoint.enable_checkpoint=true --checkpoint.interval=10 "${@:2}" || { cat "$work/log"; fail "training: ${*:2}"; }; }
replay() { ranks "$1" replay "$work/run" --step "$2" "${@:3}" || { cat "$work/log"; fail "replay: ${*:2}"; }; }
# refuses STEP LAST: the run has no such step, and nothing is computed.
refuses() {
    local code=0
    ranks 2 replay "$work/run" --step "$1" "${@:3}" || code=$?
    [ $code = 1 ] && ! grep -q computing "$work/log" || { cat "$work/log"; fail "step $1 is not refused: exit code $code"; }
    says "step $1: the run has at most $2 steps"
}
says() { grep -q -- "$1" "$work/log" || { cat "$work/log"; fail "expected \"$1\""; }; }
files() { find "$work/run" -type f -exec md5sum {} + | sort; }

# From a checkpoint, from the beginning; on two ranks bit for bit what the run had.
train 2 --training.steps=23
files >"$work/files"
for step in 1 10 17; do
    replay 2 $step
    says "^step $step: loss"
    says 'metrics.jsonl has the same'
done
says 'from the checkpoint of step 10: computing 6 steps'
says 'forward: all values are finite'
refuses 24 23
files | cmp - "$work/files" || fail "replay has changed the run's folder"

# A damaged checkpoint is skipped, and not renamed.
truncate -s -4 "$work/run/checkpoint/step-00000010/model.safetensors"
replay 2 17
says 'step-00000010 cannot be used: looking for an older one'
says 'metrics.jsonl has the same'
[ -d "$work/run/checkpoint/step-00000010" ] || fail "replay has renamed a checkpoint"

# A run that was stopped early can have begun steps after its last line; without metrics.jsonl, all steps up to the last.
sed -i 's/ steps: 23/ steps: 5000/; s/log_freq: 1$/log_freq: 10/' "$work/run/config.yaml"
refuses 4711 33
replay 2 24
says 'metrics.jsonl has no line of this step'
mv "$work/run/metrics.jsonl" "$work/metrics.jsonl"
refuses 5001 5000
mv "$work/metrics.jsonl" "$work/run/metrics.jsonl"

# A difference is reported: here the loss with another learning rate.
replay 2 17 --optimizer.lr=0.1
says 'metrics.jsonl has loss .* gradient norm'

# A byte that one document has, and whose embedding is NaN in weights that a run begins with: the step with that document
# is skipped, and replay names the sample, where its tokens are, and the embedding.
make_bells 50
train 2 --training.steps=300 --checkpoint.interval=1000 --checkpoint.initial_load_path="$work/bell" --optimizer.lr=1e-5
step=$(sed -n 's/.*step \([0-9]*\), samples .*the update is skipped.*/\1/p' "$work/log" | head -n 1)
[ -n "$step" ] || { cat "$work/log"; fail "no step was skipped"; }
replay 2 "$step"
says 'metrics.jsonl has the same'
says 'skipped: loss -\?nan'
says 'come from the embeddings, op embedding, in sample'
sample=$(sed -n 's/.*op embedding, in sample \([0-9]*\) at.*/\1/p' "$work/log")
[ "$(awk '/samples, by/ { getline; getline; print $1, $2 }' "$work/log")" = "$sample nan" ] ||
    { cat "$work/log"; fail "sample $sample is not the first of the table"; }
[ "$(grep -c '^ *[0-9]* *-\?nan ' "$work/log")" = 1 ] || { cat "$work/log"; fail "one sample is to have no finite gradient"; }
says 'values are not finite'
read -r file first last < <(sed -n "s/^ *$sample .* \(\/.*\) \([0-9]*\) to \([0-9]*\)$/\1 \2 \3/p" "$work/log")
"$FLAME" data show "$file" --first "$first" --count $((last - first + 1)) >"$work/shown"
grep -q '.x07' "$work/shown" || fail "data show does not show the bell"
echo "steps repeated bit for bit; sample $sample of step $step named, with its op and its tokens"
