#!/usr/bin/env bash
# The validation loss is that of the same windows on any ranks, meshes and micro-batches, before and after a resume; a file that
# vanishes ends a run after its last step is saved; eval refuses weights that are not finite.
source "$(dirname "$0")/common.sh"
make_data
make_config
"$FLAME" data build --text "$source_folder/src/config" --out "$work/validation.h5" --chunk 2048 >/dev/null 2>&1
# No update: what differs comes from validation alone.
run=(--config "$work/config.yaml" --optimizer.lr=0 --training.varlen=false --training.steps=2 --data.validation_interval=1
     --data.validation_files="$work/validation.h5" --checkpoint.enable_checkpoint=true)
train() { ranks "$1" "${run[@]}" "${@:2}" || { cat "$work/log"; fail "$*"; }; }
val_losses() { sed -n 's/.*"val_loss": *\([0-9.e+-]*\).*/same \1/p' "$work/$1/metrics.jsonl"; }

# scores NAME STEPS: the two validations of run NAME agree with those of run "one", each to 1e-6.
scores() {
    val_losses "$1" >"$work/a"
    [ "$(wc -l <"$work/a")" = "$2" ] || fail "$1: $(wc -l <"$work/a") validations, not $2"
    for ((i = 0; i < $2; i++)); do val_losses one | sed -n 1p; done >"$work/b"
    same_within "$work/a" "$work/b" 1e-6 || fail "$1: validation loss $(cut -d' ' -f2 "$work/a" | tr '\n' ' '), on one rank $(val_losses one | sed -n 1p)"
}
train 1 --data.validation_steps=3 --training.batch_size=8 --job.dump_folder="$work/one"
train 1 --data.validation_steps=3 --training.batch_size=3 --job.dump_folder="$work/odd"
train 3 --data.validation_steps=3 --job.dump_folder="$work/three"
train 4 --data.validation_steps=3 --training.data_parallel_replicate_degree=2 --job.dump_folder="$work/mesh"
train 2 --data.validation_steps=3 --training.steps=4 --job.dump_folder="$work/three" # goes on from step 2
for name in one odd mesh; do scores $name 2; done
scores three 4

# What a validation sends is no part of what a step sends.
sent_per_step() { grep -o 'each rank sent [0-9.]* MB per step' "$work/log"; }
train 3 --data.validation_steps=1 --job.dump_folder="$work/sends"
once=$(sent_per_step)
train 3 --data.validation_steps=6 --job.dump_folder="$work/sends_more"
[ -n "$once" ] && [ "$(sent_per_step)" = "$once" ] || fail "with longer validations $(sent_per_step), not $once"

# Label smoothing and the z-loss are part of the training's loss alone.
train 1 --data.validation_steps=3 --training.batch_size=8 --training.label_smoothing=0.2 --training.z_loss=0.01 \
    --job.dump_folder="$work/smooth"
scores smooth 2
cmp -s <(losses "$work/one") <(losses "$work/smooth") && fail "label smoothing and the z-loss do not change the loss"

# 0 scores the whole file, with the figures of eval. A set with fewer windows than requested is scored once.
train 2 --data.validation_steps=0 --job.dump_folder="$work/whole"
train 1 --data.validation_steps=1000000 --training.batch_size=8 --job.dump_folder="$work/wanted"
ranks 1 eval --checkpoint "$work/whole" --data "$work/validation.h5" --seq-len 64 --json "$work/eval.json" || { cat "$work/log"; fail "eval"; }
sed -n 's/^  "loss": *\([0-9.]*\),/same \1/p' "$work/eval.json" >"$work/eval" # of all data
for name in whole wanted; do
    val_losses $name | sed -n 1p >"$work/a"
    same_within "$work/a" "$work/eval" 1e-6 || fail "$name: $(cat "$work/a"), eval: $(cat "$work/eval")"
done
cmp -s <(val_losses one) <(val_losses whole) && fail "validation_steps 3 and 0 score the same"

# Of two files each has its share.
"$FLAME" data build --text "$source_folder/src/text" --out "$work/second.h5" --chunk 2048 >/dev/null 2>&1
train 1 --data.validation_steps=3 --training.batch_size=8 --data.validation_files="[$work/validation.h5,$work/second.h5]" \
    --job.dump_folder="$work/two"
cmp -s <(val_losses one) <(val_losses two) && fail "the second validation file is not scored"

# One weight becomes NaN.
cp -r "$work/one/checkpoint/step-00000002" "$work/nan"
rm "$work/nan/state.json"
printf '\0\0\300\177' | dd of="$work/nan/model.safetensors" bs=1 seek=$(($(stat -c %s "$work/nan/model.safetensors") - 4)) conv=notrunc status=none
code=0
ranks 2 eval --checkpoint "$work/nan" --data "$work/validation.h5" --seq-len 64 || code=$?
[ $code = 4 ] && grep -q "nan: tensor .* has values that are not finite" "$work/log" || { cat "$work/log"; fail "eval of NaN: exit code $code"; }

# A run that is killed in a validation, of a step that is saved already, catches up on it when it is started again, on the last step
# too: it ends as one that was not killed, with the same lines.
learning=(--optimizer.lr=3e-3 --training.steps=6 --data.validation_interval=2 --data.validation_steps=3 --checkpoint.interval=2
          '--metrics.sample_prompts=[int]' --metrics.sample_tokens=4)
lines() { sed 's/"lr".*//' "$work/$1/metrics.jsonl"; }
ends_as_learned() { # RUN
    for start in 1 2; do
        train 2 "${learning[@]}" --job.dump_folder="$work/$1"
        cmp <(lines learned) <(lines $1) || fail "$1, start $start: $(diff <(lines learned) <(lines $1))"
    done
    for part in model optimizer; do
        cmp "$work/learned/checkpoint/step-00000006/$part.safetensors" "$work/$1/checkpoint/step-00000006/$part.safetensors" ||
            fail "$1: $part.safetensors differs"
    done
}
train 2 "${learning[@]}" --job.dump_folder="$work/learned"
FAULT=-9 FAULT_CALL=pread FAULT_PATH=validation.h5 FAULT_AFTER=$work/killed/checkpoint/step-00000002 LD_PRELOAD=$FAULTS \
    ranks 2 "${run[@]}" "${learning[@]}" --job.dump_folder="$work/killed" && { cat "$work/log"; fail "not killed in a validation"; }
[ "$(losses "$work/killed" | wc -l)$(grep -c val_loss "$work/killed/metrics.jsonl")" = 20 ] || fail "killed at: $(lines killed)"
ends_as_learned killed
for lost in sample 'val_loss\|sample'; do
    rm -r "$work/killed" && cp -r "$work/learned" "$work/killed"
    sed -i "/\"step\": 6,.*\($lost\)/d" "$work/killed/metrics.jsonl"
    ends_as_learned killed
done

# The file vanishes: the steps until then are saved.
"$FLAME" "${run[@]}" --training.steps=1000000 --checkpoint.interval=1000000 --data.validation_interval=5 --data.validation_steps=0 \
    --job.dump_folder="$work/gone" >"$work/log" 2>&1 &
job=$!
until grep -q '"val_loss"' "$work/gone/metrics.jsonl" 2>/dev/null; do
    kill -0 $job 2>/dev/null || { cat "$work/log"; fail "ended too early"; }
    sleep 0.05
done
rm "$work/validation.h5"
code=0
wait $job || code=$?
[ $code = 3 ] && grep -q "has disappeared while in use" "$work/log" || { cat "$work/log"; fail "validation file vanished: exit code $code"; }
last=$(losses "$work/gone" | tail -1 | cut -d' ' -f1)
[ -e "$work/gone/checkpoint/step-$(printf %08d "$last")/state.json" ] || { tail "$work/log"; fail "validation file vanished: step $last is not saved"; }
echo "validation is the same on 1 to 4 ranks and after a resume; a vanished file loses no step; NaN is refused"
