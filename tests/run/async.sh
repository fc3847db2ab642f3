#!/usr/bin/env bash
# Saves in the background: each has a line in the log, also if the next save was due before it had ended.
source "$(dirname "$0")/common.sh"
make_data
make_config
ranks 2 --config "$work/config.yaml" --training.steps=6 --checkpoint.enable_checkpoint=true --checkpoint.interval=1 \
    --checkpoint.async_mode=async_with_pinned_mem || { cat "$work/log"; fail "training"; }
for step in 1 2 3 4 5 6; do
    [ "$(grep -c "^saved step $step:" "$work/run/train.log")" = 1 ] || { cat "$work/run/train.log"; fail "no 'saved step $step'"; }
done
echo "six saves, six lines"

# The next update waits until a save has read the weights and moments, however long that takes.
kept=(--config "$work/config.yaml" --training.steps=3 --checkpoint.enable_checkpoint=true --checkpoint.interval=1 --checkpoint.keep_latest_k=0)
ranks 1 "${kept[@]}" --job.dump_folder="$work/at-once" || { cat "$work/log"; fail "training, saving at once"; }
FAULT=hang FAULT_CALL=fsync FAULT_PATH=model.safetensors FAULT_BEGUN=$work/begun FAULT_UNTIL=$work/go LD_PRELOAD=$FAULTS \
    "$FLAME" "${kept[@]}" --job.dump_folder="$work/slowly" --checkpoint.async_mode=async >"$work/log" 2>&1 &
job=$!
until [ -e "$work/begun" ]; do sleep 0.02; done
sleep 1 # long enough for three steps
touch "$work/go"
wait $job || { cat "$work/log"; fail "training on a slow disk"; }
for step in 1 2 3; do
    for file in model optimizer; do
        cmp "$work"/{at-once,slowly}/checkpoint/step-0000000$step/$file.safetensors || fail "step $step is not what was saved at once"
    done
done
echo "a slow save of step 1 has the values of step 1"
