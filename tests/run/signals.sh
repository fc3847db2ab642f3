#!/usr/bin/env bash
# SIGUSR2 saves and continues, SIGUSR1 and job.time_limit save and end with exit code 0, and the run can be resumed.
source "$(dirname "$0")/common.sh"
make_data
make_config
endless=(--config "$work/config.yaml" --checkpoint.enable_checkpoint=true --checkpoint.interval=1000000 --training.steps=1000000
         --lr_scheduler.warmup_steps=5 --job.dump_folder="$work/run")
saved() { find "$work/run/checkpoint" -maxdepth 1 -name 'step-????????' 2>/dev/null | sort; }

# until_true SECONDS COMMAND...: polls, because the speed of the machine is not known.
until_true() {
    local left=$(($1 * 10))
    shift
    until "$@"; do
        left=$((left - 1))
        [ $left -gt 0 ] || { cat "$work/log"; kill_ranks "$job" "job.dump_folder=$work/"; fail "waited too long for: $*"; }
        sleep 0.1
    done
}
has_logged() { [ -e "$work/run/metrics.jsonl" ] && [ "$(grep -c '"loss"' "$work/run/metrics.jsonl")" -ge "$1" ]; }
has_saved() { [ "$(saved | wc -l)" -ge "$1" ]; } # a rank that hears of SIGUSR2 a step later has it saved once more
# saved_last: the newest checkpoint is that of the last logged step.
saved_last() { [ "$(saved | tail -n 1)" = "$work/run/checkpoint/step-$(printf %08d "$(losses "$work/run" | tail -n 1 | cut -d' ' -f1)")" ]; }

mpirun --allow-run-as-root --oversubscribe --bind-to none -np 2 "$FLAME" "${endless[@]}" >"$work/log" 2>&1 &
job=$!
until_true 60 has_logged 3
kill -USR2 $job
until_true 60 has_saved 1
kill -0 $job || fail "SIGUSR2 ended the run"
kill -USR1 $job
code=0
wait $job || code=$?
[ $code = 0 ] || { cat "$work/log"; fail "exit code $code after SIGUSR1"; }
has_saved 2 && saved_last || { saved; tail "$work/log"; fail "SIGUSR1 did not save the last step"; }
first_stop=$(basename "$(saved | tail -n 1)")

ranks 3 "${endless[@]}" --job.time_limit=3 || { cat "$work/log"; fail "job.time_limit: exit code $?"; }
grep -q "resuming after step $((10#${first_stop#step-}))" "$work/log" || { cat "$work/log"; fail "did not resume from $first_stop"; }
has_saved 3 && saved_last || { saved; tail "$work/log"; fail "job.time_limit did not save the last step"; }
# Ctrl-C in a step of many micro-batches: the run says beforehand what it costs, gives up the step and saves the one before.
mpirun --mca odls_base_sigkill_timeout 3 --allow-run-as-root --oversubscribe --bind-to none -np 2 "$FLAME" "${endless[@]}" \
    --training.global_batch_size=4096 --job.dump_folder="$work/long" >"$work/log" 2>&1 &
job=$!
until_true 600 grep -q "^step  *1/" "$work/log"
grep -q "to stop, kill -USR1 $job: .*Ctrl-C" "$work/log" || { cat "$work/log"; fail "the log does not explain how to stop"; }
kill -INT $job
wait $job || true
last=$(losses "$work/long" | tail -n 1 | cut -d' ' -f1)
grep -q "stopped on request after step $last$" "$work/log" && [ -e "$work/long/checkpoint/step-$(printf %08d "$last")/state.json" ] ||
    { cat "$work/log"; fail "Ctrl-C: step $last is not saved"; }
# Ctrl-C in export and import, of files that are read slowly, leaves nothing.
interrupted() { # COMMAND ARGUMENTS...: makes $work/made
    FAULT=slow FAULT_CALL=pread FAULT_PATH=model.safetensors LD_PRELOAD=$FAULTS "$FLAME" "$@" --out "$work/made" >"$work/log" 2>&1 &
    job=$!
    until_true 600 eval "find '$work' -path '*made*tmp-*/model.safetensors' | grep -q ."
    kill -INT $job
    code=0
    wait $job || code=$?
    [ $code = 130 ] || { cat "$work/log"; fail "Ctrl-C in $1: exit code $code"; }
    [ -z "$(find "$work" -name 'made*')" ] || fail "Ctrl-C in $1 leaves $(find "$work" -path '*made*')"
}
interrupted export --checkpoint "$source_folder/tests/golden/gla"
interrupted import --from "$source_folder/tests/golden/gla"
find "$work/run/checkpoint" -name '*.tmp*' | grep . && fail "temporary folders stay"
echo "Ctrl-C saved the last whole step, SIGUSR2 saved, SIGUSR1 and the time limit saved and stopped, 3 ranks resumed what 2 began"
