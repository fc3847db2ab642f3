#!/usr/bin/env bash
# Replicas of shards: four ranks as 1 x 4, 2 x 2 and 4 x 1 (replicas x shards) train as one rank does; a checkpoint of one
# mesh is resumed on another; a killed run equals the uninterrupted one bit for bit.
source "$(dirname "$0")/common.sh"
make_data
make_config
on=(--config "$work/config.yaml" --training.steps=20 --checkpoint.enable_checkpoint=true --checkpoint.interval=5)
train() { ranks "$1" "${on[@]}" --training.data_parallel_replicate_degree="$2" "${@:3}" || { cat "$work/log"; fail "$*"; }; }
sum() { sha256sum <"$1/checkpoint/step-00000020/$2.safetensors"; }
# agrees RUN RUN: losses of 20 steps.
agrees() {
    losses "$work/$1" >"$work/a"
    losses "$work/$2" >"$work/b"
    [ "$(wc -l <"$work/a")" = 20 ] && same_within "$work/a" "$work/b" 1e-5 || fail "the losses of $1 differ from those of $2"
}

train 1 1 --job.dump_folder="$work/one"
for mesh in 1x4 2x2 4x1; do
    train 4 "${mesh%x*}" --training.data_parallel_shard_degree="${mesh#*x}" --checkpoint.keep_latest_k=0 --job.dump_folder="$work/$mesh"
    agrees $mesh one
    [ $mesh = 1x4 ] && continue
    grep -q "${mesh%x*} replicas of ${mesh#*x} shards" "$work/log" || { cat "$work/log"; fail "$mesh: not printed"; }
    grep -q "of it [.0-9]* MB to other replicas" "$work/log" || { cat "$work/log"; fail "$mesh: what replicas send is not printed"; }
done

for type in float32 bfloat16; do # a rank keeps more of the parameters if their type is another
    train 4 2 --training.mixed_precision_param=$type --job.dump_folder="$work/whole"
    mpirun --allow-run-as-root --oversubscribe --bind-to none -np 4 "$FLAME" "${on[@]}" --training.mixed_precision_param=$type \
        --training.data_parallel_replicate_degree=2 --job.dump_folder="$work/killed" >"$work/log" 2>&1 &
    job=$!
    until [ -d "$work/killed/checkpoint/step-00000005" ] || ! kill -0 $job 2>/dev/null; do sleep 0.02; done
    kill_ranks $job "job.dump_folder=$work/killed"
    train 4 2 --training.mixed_precision_param=$type --job.dump_folder="$work/killed"
    grep -q "resuming after step" "$work/log" || fail "the killed run was not resumed"
    for part in model optimizer; do
        [ "$(sum "$work/whole" $part)" = "$(sum "$work/killed" $part)" ] || fail "$type: $part.safetensors differs after a kill"
    done
    rm -r "$work/whole" "$work/killed"
done

while read -r from ranks replicas; do
    rm -rf "$work/moved"
    cp -r "$work/$from" "$work/moved"
    rm -rf "$work"/moved/checkpoint/step-000000{15,20}
    train "$ranks" "$replicas" --job.dump_folder="$work/moved"
    grep -q "resuming after step 10" "$work/log" || fail "$from was not resumed on $ranks ranks"
    agrees moved "$from"
done <<<"2x2 3 1
2x2 4 4
1x4 4 2"
echo "1 x 4, 2 x 2 and 4 x 1 agree within 1e-5, also resumed as another; a killed 2 x 2 is equal bit for bit"
