#!/usr/bin/env bash
# A run that is killed at random moments and restarted equals the uninterrupted one bit for bit; on another number of ranks
# it continues with the same samples. RESUME_KILLS sets how often.
source "$(dirname "$0")/common.sh"
make_data
make_config
kills=${RESUME_KILLS:-3}
checkpoints=(--checkpoint.enable_checkpoint=true --checkpoint.interval=5)
ranks 2 --config "$work/config.yaml" "${checkpoints[@]}" --job.dump_folder="$work/whole" || { cat "$work/log"; fail "the uninterrupted run"; }
losses "$work/whole" >"$work/losses-whole"
state() { sha256sum <"$1/checkpoint/step-00000050/$2.safetensors"; }

RANDOM=${RESUME_SEED:-11}
for ((kill = 1; kill <= kills; kill++)); do
    mpirun --allow-run-as-root --oversubscribe --bind-to none -np 2 "$FLAME" --config "$work/config.yaml" "${checkpoints[@]}" \
        --job.dump_folder="$work/killed" >"$work/log" 2>&1 &
    job=$!
    sleep "0.$((RANDOM % 9 + 1))"
    kill_ranks "$job" "job.dump_folder=$work/killed"
done
ranks 2 --config "$work/config.yaml" "${checkpoints[@]}" --job.dump_folder="$work/killed" || { cat "$work/log"; fail "the last restart"; }
losses "$work/killed" >"$work/losses-killed"
cmp "$work/losses-whole" "$work/losses-killed" || fail "the losses after $kills kills differ from the uninterrupted run's"
for part in model optimizer; do
    [ "$(state "$work/whole" $part)" = "$(state "$work/killed" $part)" ] || fail "$part.safetensors differs after $kills kills"
done

cp -r "$work/whole" "$work/moved"
rm -rf "$work/moved/checkpoint/step-00000050" "$work"/moved/checkpoint/step-000000[34]*
ranks 3 --config "$work/config.yaml" "${checkpoints[@]}" --job.dump_folder="$work/moved" || { cat "$work/log"; fail "resuming on 3 ranks"; }
losses "$work/moved" >"$work/losses-moved"
same_within "$work/losses-moved" "$work/losses-whole" 1e-5 || fail "resumed on 3 ranks the losses differ"
grep -q 'sequences per step' "$work/log" && { cat "$work/log"; fail "resumed on 3 ranks a step has other sequences"; }

# Without training.global_batch_size the ranks decide how many sequences a step has: the table of changes says so.
unset=(--config "$work/config.yaml" "${checkpoints[@]}" --training.global_batch_size=null --job.dump_folder="$work/unset")
ranks 1 "${unset[@]}" --training.steps=5 || { cat "$work/log"; fail "a run without a global batch size"; }
ranks 2 "${unset[@]}" --training.steps=6 || { cat "$work/log"; fail "resuming it on 2 ranks"; }
grep -q 'sequences per step  *1 *| 2$' "$work/unset/train.log" || { cat "$work/log"; fail "the log does not say that a step has other sequences"; }
echo "$kills kills: losses, weights and moments equal bit for bit; 2 ranks to 3: within 1e-5"
