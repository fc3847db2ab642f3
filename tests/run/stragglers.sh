#!/usr/bin/env bash
# A rank that is slow in every step is named with what it is slow in, once, and the losses are those of the fast run.
source "$(dirname "$0")/common.sh"
: "${WRONG:?flame-c with tests/faults/wrong.c}"
make_data
make_config
train() { # RUN RANKS ARGUMENTS...
    ranks "$2" --config "$work/config.yaml" --training.steps=8 --metrics.log_freq=2 --job.dump_folder="$work/$1" "${@:3}" || { cat "$work/log"; fail "$1"; }
}
train fast 3
! grep -q 'is slow' "$work/log" || { cat "$work/log"; fail "a fast rank is called slow"; }
losses "$work/fast" >"$work/fast-losses"
fast=$FLAME
FLAME=$WRONG
named=""
for slow in "2 data" "1 computation" "0 data"; do
    read -r rank part <<<"$slow"
    FLAME_SLOW="$slow 40" train "slow" 3
    grep -q "^rank $rank is slow, in $part: it reads for [0-9.]* s and computes for [0-9.]* s per step, the median rank for" "$work/log" ||
        { cat "$work/log"; fail "rank $rank is not named as slow in $part"; }
    [ "$(grep -c 'is slow' "$work/log")" = 1 ] || { cat "$work/log"; fail "not one line on who is slow"; }
    grep -q "^rank $rank is slow" "$work/slow/train.log" || fail "train.log does not say who is slow"
    losses "$work/slow" | cmp - "$work/fast-losses" || fail "a slow rank changes the losses"
    named+=" $(grep -n 'is slow' "$work/slow/train.log" | cut -d: -f1)"
    rm -rf "$work/slow"
done
# Waiting for a rank that computes is no waiting for data, but waiting for one that reads is.
# data_milliseconds SLOW: the mean that a step waits for data, in milliseconds.
data_milliseconds() {
    FLAME_SLOW="$1" train "slow" 3 --training.batch_size=2 --training.global_batch_size=12 >"$work/log" 2>&1
    sed -n 's/.*"data_seconds": *\([-+.0-9e]*\).*/\1/p' "$work/slow/metrics.jsonl" | awk '{ sum += $1 } END { printf "%.0f", 1e3 * sum / NR }'
    rm -rf "$work/slow"
}
ending=$(data_milliseconds "1 ending 100")
reading=$(data_milliseconds "2 data 100")
[ "$ending" -lt 50 ] || fail "a slow computation is $ending ms of waiting for data per step"
[ "$reading" -ge 200 ] || fail "two reads of 100 ms are only $reading ms of waiting for data per step"
FLAME=$fast
echo "slow ranks named with what they are slow in, in the lines$named of train.log"
