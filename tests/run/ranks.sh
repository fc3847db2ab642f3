#!/usr/bin/env bash
# With a fixed global batch the losses of 50 steps do not depend on the number of ranks, up to rounding of sums; nor on the
# sequences of a rank, some of which may be padding, where a model has sums over the tokens of all (transformer_vq's codes).
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

sed -i '/^        use_short_conv/d; s/^model: .*/model: {model_type: transformer_vq, hidden_size: 32, num_hidden_layers: 2, vocab_size: 320, n_head: 2, d_k: 16,\n        d_v: 32, n_code: 24, block_len: 16, mem_len: 16, c_beta: 0.5, c_gamma: 0.9}/' "$work/config.yaml"
for size in '1 6' '1 4' '1 5' '4 1'; do # ranks, sequences at a time
    run=$work/codes-${size/ /-}
    ranks "${size% *}" --config "$work/config.yaml" --job.dump_folder="$run" --training.steps=20 --training.global_batch_size=6 \
        --training.batch_size="${size#* }" || { cat "$work/log"; fail "transformer_vq, ranks and sequences: $size"; }
    losses "$run" >"$run.losses"
    same_within "$run.losses" "$work/codes-1-6.losses" 1e-5 || fail "losses of transformer_vq depend on ranks and sequences: $size"
done
echo "losses of 1, 2, 3, 4 and 8 ranks agree within 1e-5; $first to $last"
