#!/usr/bin/env bash
# Saves in the background: each has its line in the log, also one that the next overtook.
source "$(dirname "$0")/common.sh"
make_data
make_config
ranks 2 --config "$work/config.yaml" --training.steps=6 --checkpoint.enable_checkpoint=true --checkpoint.interval=1 \
    --checkpoint.async_mode=async || { cat "$work/log"; fail "training"; }
for step in 1 2 3 4 5 6; do
    [ "$(grep -c "^saved step $step:" "$work/run/train.log")" = 1 ] || { cat "$work/run/train.log"; fail "no 'saved step $step'"; }
done
echo "six saves, six lines"
