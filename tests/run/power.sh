#!/usr/bin/env bash
# Power is lost after the n-th change of a run's folder, and what was not synced is lost in part or in whole: the next start continues
# from a complete checkpoint to the same bits, and metrics.jsonl and TensorBoard have each step once. POWER_STRIDE (default 61): every
# so many changes are tried; 1 tries all.
source "$(dirname "$0")/common.sh"
tools=${BUILD:-$(dirname "$FLAME")}/tests
stride=${POWER_STRIDE:-61}
make_data
make_config
on=(--config "$work/config.yaml" --training.steps=7 --lr_scheduler.warmup_steps=2 --checkpoint.enable_checkpoint=true
    --checkpoint.interval=2)
train() { # RUN RANKS ARGUMENTS...
    ranks "$2" "${on[@]}" --job.dump_folder="$work/$1" "${@:3}" || { cat "$work/log"; fail "$*"; }
}
recorded() { # NAME RANKS ARGUMENTS...: as train in `run`, with a log of its changes
    export POWER_LOG=$work/$1.log POWER_FOLDER=$work/run
    LD_PRELOAD=$tools/libpower_log.so train run "${@:2}"
    unset POWER_LOG POWER_FOLDER
}
replay() { "$tools/power_replay" "$work/$1.log" "$2" "$3" "$4" "$work/after"; }

# power_lost NAME BASE RANKS ARGUMENTS...: the next start after each change of the log.
tried=0 resumed=0
power_lost() {
    local changes n mode
    changes=$(replay "$1" 1000000000 "$2" synced)
    [ "$changes" -gt 100 ] || fail "the log of $1 has $changes records"
    for mode in synced names torn; do
        for ((n = tried % stride; n <= changes; n += stride)); do
            rm -rf "$work/after"
            replay "$1" $n "$2" $mode >"$work/log"
            train after "${@:3}"
            ! grep -q 'resuming after step' "$work/log" || resumed=$((resumed + 1))
            for part in model optimizer; do
                cmp "$work/after/checkpoint/step-00000007/$part.safetensors" "$work/whole-$3/checkpoint/step-00000007/$part.safetensors" ||
                    { cat "$work/log"; fail "$1, $mode after $n of $changes: $part.safetensors differs"; }
            done
            [ "$(losses "$work/after" | cut -d ' ' -f 1 | tr '\n' ' ')" = "$(seq -s ' ' 7) " ] ||
                { cat "$work/log" "$work/after/metrics.jsonl"; fail "$1, $mode after $n of $changes: not each step once in metrics.jsonl"; }
            [ "$(LC_ALL=C "$tools/event_steps" "$work"/after/tb/*)" = "$(seq -s ' ' 7) " ] ||
                { cat "$work/log"; fail "$1, $mode after $n of $changes: TensorBoard shows the steps $("$tools/event_steps" "$work"/after/tb/*)"; }
            tried=$((tried + 1))
        done
    done
}

# What a run has said to be saved is on the disk: after the last change even if nothing else is.
all_saved() { # NAME BASE RANKS
    rm -rf "$work/after"
    replay "$1" "$(replay "$1" 1000000000 "$2" synced)" "$2" synced >"$work/log"
    train after "$3"
    grep -q 'resuming after step 7' "$work/log" || { cat "$work/log"; find "$work/after"; fail "$1: the last step is not on the disk"; }
}

# A new run on one rank, which saves in the background and keeps one step.
train whole-1 1
recorded new 1 --checkpoint.async_mode=async --checkpoint.keep_latest_k=1
power_lost new "" 1 --checkpoint.async_mode=async --checkpoint.keep_latest_k=1
all_saved new "" 1
new=$resumed

# A run on two ranks that is started again after step 4, with lines of later steps that are void.
train whole-2 2
train begun 2 --lr_scheduler.decay_type=linear
rm -r "$work/begun/checkpoint/step-00000006" "$work/begun/checkpoint/step-00000007"
rm -rf "$work/run"
mv "$work/begun" "$work/run"
cp -r "$work/run" "$work/base"
recorded again 2
power_lost again "$work/base" 2
all_saved again "$work/base" 2
[ $((resumed - new)) -gt 0 ] && [ $new -gt 0 ] || fail "no start has resumed"
echo "power lost at $tried points of two runs, what was not synced lost in three ways: resumed $resumed times, each to the same bits"
