#!/usr/bin/env bash
# training.rewind_spikes: after skipped steps in a row a run goes back to a checkpoint and skips the samples since. The same
# on any number of ranks, bit for bit when it is killed or stopped at any moment, each step once in the metrics.
source "$(dirname "$0")/common.sh"
make_config
make_bells $(seq 2 4 100)
sed -i 's/global_batch_size: 8/global_batch_size: 2/' "$work/config.yaml"
bad=(--checkpoint.enable_checkpoint=true --checkpoint.initial_load_path="$work/bell" --checkpoint.interval=10
    --training.steps=160 --training.rewind_spikes=2 --training.skip_spikes=30)
train() { # RUN RANKS ARGUMENTS...: exit code in $code
    code=0
    ranks "$2" --config "$work/config.yaml" --job.dump_folder="$work/$1" "${bad[@]}" "${@:3}" || code=$?
}
good() { [ "$code" = 0 ] || { cat "$work/log"; fail "exit code $code"; }; }
says() { grep -q -- "$1" "$work/log" || { cat "$work/log"; fail "expected \"$1\""; }; }
last() { echo "$work/$1/checkpoint/step-00000160/$2"; }
passed() { tr -d ' \n' <"$(last "$1" state.json)" | grep -o '"passed_over":\[\[[^]]*\]\(,\[[^]]*\]\)*\]'; }
steps_once() {
    [ "$(losses "$work/$1" | cut -d ' ' -f 1 | tr '\n' ' ')" = "$(seq -s ' ' 160) " ] || { cat "$work/$1/metrics.jsonl"; fail "$1: not each step once"; }
}

train whole 1
good
says '2 steps in a row were skipped: going back from step [0-9]* to step [0-9]*0, and passing over the [0-9]* samples since, '
rewinds=$(grep -c 'going back from step' "$work/log")
[ "$rewinds" -ge 3 ] || { cat "$work/log"; fail "the run went back $rewinds times"; }
steps_once whole
# The samples that are passed over, and those that the weights have seen, are all.
samples=$(passed whole | tr -d '"a-z_:' | sed 's/^\[\[//; s/\]\]$//; s/\],\[/\n/g' | awk -F, '{ sum += $3 + 1 - $2 } END { print sum }')
tail -n 1 "$work/whole/metrics.jsonl" | grep -q "\"passed_over\": $samples}" || { passed whole; tail -n 1 "$work/whole/metrics.jsonl"; fail "passed_over is not $samples"; }
grep "\"samples\": $((320 + samples))," "$(last whole state.json)" >"$work/found" || fail "the next sample is not $((320 + samples))"
says "tokens from .*: $((320 * 64))"

# The step before it went back, as it was.
step=$(tail -n 1 "$work/whole/metrics.void.jsonl" | sed 's/{"step": \([0-9]*\).*/\1/')
ranks 1 replay "$work/whole" --step "$step" --abandoned --checkpoint.initial_load_path="$work/bell" || { cat "$work/log"; fail "replay"; }
says 'metrics.void.jsonl has the same'
says 'skipped: loss -\?nan'

# Two ranks pass over the same samples.
train two 2
good
[ "$(passed two)" = "$(passed whole)" ] || { passed whole; passed two; fail "two ranks pass over other samples"; }
losses "$work/whole" >"$work/a"
losses "$work/two" >"$work/b"
diff <(cut -d ' ' -f 1 "$work/a") <(cut -d ' ' -f 1 "$work/b") || fail "two ranks log other steps"

# Killed, and stopped by a signal, at any moment: the same bits at the end.
RANDOM=5
for ((starts = 1; ; starts++)); do
    [ $starts -lt 40 ] || fail "not done after $starts starts"
    "$FLAME" --config "$work/config.yaml" --job.dump_folder="$work/killed" "${bad[@]}" --checkpoint.async_mode=async >"$work/log" 2>&1 &
    job=$!
    lines=$((RANDOM % 40 + 13))
    until [ "$(grep -c '^step' "$work/log")" -ge $lines ] || ! kill -0 $job 2>/dev/null; do sleep 0.01; done
    if [ $((starts % 3)) = 0 ]; then kill -USR1 $job 2>/dev/null || true; else kill -KILL $job 2>/dev/null || true; fi
    code=0
    wait $job 2>/dev/null || code=$?
    [ -f "$(last killed state.json)" ] && break
done
for part in model.safetensors optimizer.safetensors; do
    cmp "$(last whole $part)" "$(last killed $part)" || fail "$part differs after $starts starts"
done
[ "$(passed killed)" = "$(passed whole)" ] || { passed whole; passed killed; fail "a killed run passes over other samples"; }
steps_once killed

# Nothing to go back to; and a step to which going back does not help.
make_bells $(seq 100)
train hopeless 1
[ $code = 4 ] || { cat "$work/log"; fail "exit code $code, not 4"; }
says 'there is no checkpoint from before these steps to go back to'
says 'the run has gone back to step [0-9]*0 3 times'
"$FLAME" import --from "$work/bell" --out "$work/again" >"$work/log" 2>&1 || fail "import"
train again 1
says 'going back from step [0-9]* to step 0, and passing over'
{ [ -s "$work/again/metrics.void.jsonl" ] && [ ! -e "$work/again/metrics.jsonl.old" ]; } || { ls "$work/again"; fail "the lines before it went back to step 0"; }
for key in checkpoint.enable_checkpoint=false training.max_skipped_steps=2; do
    train refused 1 "--$key"
    [ $code = 1 ] || { cat "$work/log"; fail "exit code $code for $key"; }
    says "$(sed 's/=.*//' <<<"$key")"
done
echo "went back $rewinds times and passed over $samples samples, on 1 and 2 ranks, and bit for bit in $starts starts"
