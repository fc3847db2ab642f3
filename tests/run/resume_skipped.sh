#!/usr/bin/env bash
# Steps without a finite loss change no weights. Their checkpoints do not cause the last good one to be deleted, and a restart has the
# whole of training.max_skipped_steps again.
source "$(dirname "$0")/common.sh"
make_data
make_config
train() { ranks 1 --config "$work/config.yaml" --checkpoint.enable_checkpoint=true --checkpoint.interval=1 --checkpoint.keep_latest_k=2 "$@"; }
steps() { ls "$work/run/checkpoint" | tr '\n' ' '; }
train --training.steps=3 || { cat "$work/log"; fail "training"; }

# From here on every loss is NaN: a weight of step 3 is, in a checkpoint whose checksums say it should be.
"$FLAME" export --checkpoint "$work/run" --out "$work/nan" --dtype float32 >"$work/log" 2>&1 || fail "export"
size=$(stat -c %s "$work/nan/model.safetensors")
printf '\000\000\300\177' | dd of="$work/nan/model.safetensors" bs=1 seek=$((size - 4)) conv=notrunc 2>/dev/null
rm -rf "$work/run"
"$FLAME" import --from "$work/nan" --out "$work/run" >"$work/log" 2>&1 || fail "import"
for start in 1 2; do
    code=0
    train --training.max_skipped_steps=4 || code=$?
    [ $code = 4 ] || { cat "$work/log"; fail "start $start: exit code $code, not 4"; }
    [ "$(grep -c 'the update is skipped' "$work/log")" = 4 ] || { cat "$work/log"; fail "start $start does not skip four steps"; }
    [ "$(steps)" = "step-00000000 step-0000000$((3 * start)) " ] || fail "start $start leaves $(steps)"
    [ $start = 1 ] || grep -q 'weights are those of step 0: ' "$work/log" || { cat "$work/log"; fail "start 2 does not say whose weights"; }
done
echo "eight steps without a finite loss in two starts; the checkpoint before them is still there"
