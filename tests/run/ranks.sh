#!/usr/bin/env bash
# With a fixed global batch the losses of 50 steps do not depend on the number of ranks, up to rounding of sums.
source "$(dirname "$0")/common.sh"
make_data
make_config
for count in 1 2 3 4 8; do
    ranks "$count" --config "$work/config.yaml" --job.dump_folder="$work/run-$count" || { cat "$work/log"; fail "$count ranks"; }
    losses "$work/run-$count" >"$work/losses-$count"
    [ "$(wc -l <"$work/losses-$count")" = 50 ] || fail "$count ranks logged $(wc -l <"$work/losses-$count") steps, not 50"
    same_within "$work/losses-$count" "$work/losses-1" 1e-5 || fail "losses of $count ranks differ from those of 1"
done
first=$(head -1 "$work/losses-1" | cut -d' ' -f2) last=$(tail -1 "$work/losses-1" | cut -d' ' -f2)
awk -v a="$first" -v b="$last" 'BEGIN { exit !(b < a - 1) }' || fail "the loss did not fall: $first to $last"
echo "losses of 1, 2, 3, 4 and 8 ranks agree within 1e-5; $first to $last"
