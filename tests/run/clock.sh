#!/usr/bin/env bash
# The wall clock jumps back and forth by hours: no timeout fires too early or too late, and metrics.jsonl and TensorBoard have each
# step once and in order, also if a run is resumed at an earlier time of the clock than it began.
source "$(dirname "$0")/common.sh"
tools=${BUILD:-$(dirname "$FLAME")}/tests
make_data
make_config
on=(--config "$work/config.yaml" --lr_scheduler.warmup_steps=2 --lr_scheduler.decay_type=constant --checkpoint.enable_checkpoint=true
    --checkpoint.interval=5 --checkpoint.async_mode=async)
train() { ranks 2 "${on[@]}" --job.dump_folder="$work/$1" "${@:2}" || { cat "$work/log"; fail "$*"; }; }
each_once() {
    [ "$(losses "$work/$1" | cut -d ' ' -f 1 | tr '\n' ' ')" = "$(seq -s ' ' 14) " ] || { cat "$work/$1/metrics.jsonl"; fail "$1: not each step once"; }
    [ "$(LC_ALL=C "$tools/event_steps" "$work/$1"/tb/*)" = "$(seq -s ' ' 14) " ] ||
        { ls "$work/$1/tb"; fail "$1: TensorBoard shows the steps $("$tools/event_steps" "$work/$1"/tb/*)"; }
}
begin_again() { # removes what follows step 10, as if the run had ended there
    rm -r "$work/$1/checkpoint/step-00000012"
    train "$1" --training.steps=14
    grep -q 'resuming after step 10' "$work/log" || { cat "$work/log"; fail "$1 is not resumed"; }
}
train steady --training.steps=14
losses "$work/steady" >"$work/steady-losses"

export LD_PRELOAD=$tools/libclock_jumps.so
train jumping --training.steps=12 --comm.train_timeout_seconds=10
! grep -q 'warning\|error' "$work/log" || { cat "$work/log"; fail "a warning because of the clock"; }
begin_again jumping
each_once jumping
awk '/step_seconds/ { if (match($0, /"step_seconds": -/)) exit 1 }' "$work/jumping/metrics.jsonl" || fail "a step has a negative duration"

CLOCK_OFFSET=7200 train back --training.steps=12
CLOCK_OFFSET=-7200 begin_again back
each_once back
unset LD_PRELOAD
for run in jumping back; do
    losses "$work/$run" | cmp - "$work/steady-losses" || fail "the losses of $run differ"
done

# The watchdog of GPUs still works after the clock is set back.
LD_PRELOAD=$tools/libclock_jumps.so CLOCK_OFFSET=7200 timeout 60 "$tools/test_watchdog" >"$work/log" 2>&1 || { cat "$work/log"; fail "test_watchdog: $?"; }
echo "clocks that jump and that are set back do no harm"
