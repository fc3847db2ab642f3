#!/usr/bin/env bash
# Every mixer trains on 2 ranks, and a run that is resumed half-way equals the uninterrupted one bit for bit: losses, weights
# and moments; as its own teacher it has divergence 0. It validates on the way, which takes memory in another order. The models are those of tests/golden, one of each
# model_type, with bytes as tokens and packed documents.
source "$(dirname "$0")/common.sh"
make_data
make_config
tested=0
for model in "$source_folder"/tests/golden/*/config.json; do
    model=$(dirname "$model")
    name=$(basename "$model")
    mixer=$(sed -n 's/.*"model_type": *"\([^"]*\)".*/\1/p' "$model/config.json")
    [ "$name" = "$mixer" ] || continue
    sed "s|^model: .*|model: {config: $model/config.json, vocab_size: 320}|; /^ *use_short_conv: true, attn/d" \
        "$work/config.yaml" >"$work/$name.yaml"
    train=(--config "$work/$name.yaml" --training.steps=8 --lr_scheduler.warmup_steps=2 --training.global_batch_size=4
        --checkpoint.enable_checkpoint=true --checkpoint.interval=4
        --data.validation_files="$work/data.h5" --data.validation_interval=4 --data.validation_steps=4)
    ranks 2 "${train[@]}" --job.dump_folder="$work/whole" || { cat "$work/log"; fail "$name"; }
    cp -r "$work/whole" "$work/resumed"
    rm -rf "$work/resumed/checkpoint/step-00000008"
    ranks 2 "${train[@]}" --job.dump_folder="$work/resumed" || { cat "$work/log"; fail "$name, resumed"; }
    grep -q 'resuming after step 4' "$work/log" || { cat "$work/log"; fail "$name did not resume"; }
    losses "$work/whole" >"$work/losses-whole"
    losses "$work/resumed" >"$work/losses-resumed"
    [ "$(wc -l <"$work/losses-whole")" = 8 ] || fail "$name: not 8 losses"
    cmp "$work/losses-whole" "$work/losses-resumed" || fail "$name: the losses of the resumed run differ"
    for part in model optimizer; do
        cmp "$work"/{whole,resumed}/checkpoint/step-00000008/$part.safetensors || fail "$name: $part differs after resuming"
    done
    awk 'NR == 1 { first = $2 } { last = $2 } END { exit !(last < first) }' "$work/losses-whole" ||
        fail "$name does not learn: $(tr '\n' ' ' <"$work/losses-whole")"
    # The forward of a teacher, which keeps nothing, gives the bits of that of training.
    ranks 2 "${train[@]}" --training.teacher="$work/whole" --checkpoint.initial_load_path="$work/whole" --training.steps=1 \
        --job.dump_folder="$work/taught" || { cat "$work/log"; fail "$name, by itself"; }
    grep -q '"step": 1,.*"teacher_kl": 0,' "$work/taught/metrics.jsonl" || { cat "$work/log"; fail "$name differs from itself"; }
    rm -rf "$work/whole" "$work/resumed" "$work/taught"
    tested=$((tested + 1))
done
[ "$tested" -ge 2 ] || fail "no models in tests/golden"
echo "$tested mixers: resumed equals uninterrupted, bit for bit; nothing to learn from itself"
