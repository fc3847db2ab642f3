#!/usr/bin/env bash
# training.teacher: the same losses on any ranks, meshes and micro-batches, and after a resume; an equal teacher
# gives no gradient; a changed teacher is reported; a model that cannot be a teacher is refused.
source "$(dirname "$0")/common.sh"
make_data
make_config
run=(--config "$work/config.yaml" --checkpoint.enable_checkpoint=true --training.steps=6)
teacher=(--training.teacher="$work/teacher")
train() { ranks "$1" "${run[@]}" "${@:2}" || { cat "$work/log"; fail "$*"; }; }
# told RUN: prints "step loss" and "step divergence" of every logged step.
told() {
    losses "$work/$1"
    sed -n 's/.*"step": *\([0-9]*\).*"teacher_kl": *\([-+.0-9e]*\).*/\1 \2/p' "$work/$1/metrics.jsonl"
}
first() { sed -n "s/^{\"step\": 1,.*\"$2\": *\([-+.0-9e]*\),.*/\1/p" "$work/$1/metrics.jsonl"; }
# same_as A B BOUND: both runs logged the same values.
same_as() {
    told "$1" >"$work/told-$1"
    told "$2" >"$work/told-$2"
    [ "$(wc -l <"$work/told-$1")" = 12 ] || fail "$1: $(wc -l <"$work/told-$1") losses and divergences, not 12"
    same_within "$work/told-$1" "$work/told-$2" "$3" || fail "$1 and $2 differ"
}

# A teacher with another mixer, width and depth.
sed "s|^model: .*|model: {model_type: gated_deltanet, hidden_size: 48, num_hidden_layers: 3, num_heads: 2, head_dim: 16, vocab_size: 320}|
     /^ *use_short_conv: true, attn/d" "$work/config.yaml" >"$work/teacher.yaml"
ranks 2 --config "$work/teacher.yaml" --checkpoint.enable_checkpoint=true --training.steps=30 --job.dump_folder="$work/teacher" ||
    { cat "$work/log"; fail "the teacher"; }

train 1 "${teacher[@]}" --activation_checkpoint.mode=none --job.dump_folder="$work/one"
train 1 "${teacher[@]}" --activation_checkpoint.mode=full --job.dump_folder="$work/recomputed"
same_as one recomputed 0
train 1 "${teacher[@]}" --training.batch_size=3 --job.dump_folder="$work/odd"
train 2 "${teacher[@]}" --job.dump_folder="$work/two"
train 3 "${teacher[@]}" --training.fsdp_reshard_after_forward=never --job.dump_folder="$work/three"
train 4 "${teacher[@]}" --training.data_parallel_replicate_degree=2 --job.dump_folder="$work/mesh"
for name in odd two three mesh; do same_as $name one 2e-5; done

# The logged loss is the cross-entropy, as without a teacher, and a validation only scores that. The trained weights differ.
train 1 --job.dump_folder="$work/alone"
[ "$(first one loss)" = "$(first alone loss)" ] || fail "a teacher changes the loss of step 1"
cat "$work/one/tb"/* | grep -aq loss/teacher_kl || fail "TensorBoard has no divergence"
grep -q teacher_kl "$work/alone/metrics.jsonl" && fail "a divergence without a teacher"
cmp -s <(losses "$work/one") <(losses "$work/alone") && fail "nothing is learned from a teacher"
for name in one alone; do
    train 1 --optimizer.lr=0 --training.steps=1 --data.validation_files="$work/data.h5" --data.validation_interval=1 \
        --data.validation_steps=2 --job.dump_folder="$work/scored-$name" $([ $name = one ] && echo "${teacher[@]}")
done
cmp -s <(grep val_loss "$work/scored-one/metrics.jsonl") <(grep val_loss "$work/scored-alone/metrics.jsonl") ||
    fail "a validation scores more than the cross-entropy"

# The model learns from the teacher: with w = 1 the divergence falls, and the labels have no effect.
train 1 "${teacher[@]}" --training.teacher_weight=1 --training.steps=40 --job.dump_folder="$work/learned"
told learned | tail -40 | awk 'NR == 1 { first = $2 } { last = $2 } END { exit !(last < 0.7 * first) }' ||
    fail "the divergence does not fall: $(told learned | tail -40 | sed -n '1p;$p' | tr '\n' ' ')"

# A resume gives the same bits; the checkpoint is the model's alone.
train 2 "${teacher[@]}" --checkpoint.interval=3 --job.dump_folder="$work/whole"
cp -r "$work/whole" "$work/resumed"
rm -r "$work/resumed/checkpoint/step-00000006"
train 2 "${teacher[@]}" --checkpoint.interval=3 --job.dump_folder="$work/resumed"
grep -q "resuming after step 3" "$work/log" || fail "it did not resume"
grep -q "^  .*training.teacher.* | " "$work/log" && { cat "$work/log"; fail "a resume with the same teacher reports another one"; }
same_as whole resumed 0
for file in model.safetensors optimizer.safetensors; do
    cmp "$work"/{whole,resumed}/checkpoint/step-00000006/$file || fail "$file of the resumed run differs"
done
[ "$(stat -c %s "$work/whole/checkpoint/step-00000006/model.safetensors")" = \
    "$(stat -c %s "$work/alone/checkpoint/step-00000006/model.safetensors")" ] || fail "the teacher is in the checkpoint"

# A changed teacher is reported: another folder, and other weights in the same folder.
cp -r "$work/teacher" "$work/other"
train 1 --training.teacher="$work/other" --training.steps=7 --job.dump_folder="$work/resumed"
grep -q "training.teacher  *$work/teacher | $work/other" "$work/log" || { cat "$work/log"; fail "another folder is not reported"; }
grep -q "weights of training.teacher" "$work/log" && fail "a copy of the teacher is reported as another teacher"
ranks 1 --config "$work/teacher.yaml" --checkpoint.enable_checkpoint=true --training.steps=31 --job.dump_folder="$work/other" ||
    { cat "$work/log"; fail "the teacher, one more step"; }
train 1 --training.teacher="$work/other" --training.steps=8 --job.dump_folder="$work/resumed"
grep -q "weights of training.teacher  *[0-9a-f]\{16\} | [0-9a-f]\{16\}" "$work/log" || { cat "$work/log"; fail "other weights are not reported"; }

saved=$work/teacher/checkpoint/step-00000030
# A model that equals its teacher does not change by a bit.
for count in 1 2; do
    ranks $count --config "$work/teacher.yaml" --checkpoint.enable_checkpoint=true "${teacher[@]}" --training.teacher_weight=1 \
        --checkpoint.initial_load_path="$saved" --optimizer.weight_decay=0 --training.steps=3 --job.dump_folder="$work/equal-$count" ||
        { cat "$work/log"; fail "its own teacher on $count ranks"; }
    cmp "$saved/model.safetensors" "$work/equal-$count/checkpoint/step-00000003/model.safetensors" ||
        fail "an equal teacher changes weights on $count ranks"
    [ "$(grep -c '"teacher_kl": 0, "grad_norm": 0,' "$work/equal-$count/metrics.jsonl")" = 3 ] ||
        { cat "$work/equal-$count/metrics.jsonl"; fail "the divergence from an equal teacher is not 0 on $count ranks"; }
done

# The plan includes the teacher.
ranks 1 plan "${run[@]}" "${teacher[@]}"
grep -q "^teacher  *[0-9]* parameters  (gated_deltanet)" "$work/log" && grep -q "the teacher's parameters .* MB" "$work/log" &&
    grep -q "and the teacher's forward" "$work/log" || { cat "$work/log"; fail "the plan has no teacher"; }

refuses() { # RANKS TEXT ARGUMENTS...
    local count=$1 code=0
    shift
    ranks "$count" "${run[@]}" --job.dump_folder="$work/refused" "${@:2}" || code=$?
    [ $code != 0 ] && grep -q -- "$1" "$work/log" || { cat "$work/log"; fail "${*:2}: exit code $code, no '$1'"; }
    [ "$(grep -c 'error:' "$work/log")" = 1 ] || { cat "$work/log"; fail "${*:2}: not one error"; }
    [ ! -e "$work/refused" ] || fail "${*:2}: a refusal made a folder"
}
mkdir "$work/empty" "$work/bare" "$work/nan"
cp "$saved/config.json" "$work/empty"
cp "$saved/model.safetensors" "$work/bare"
cp "$saved/config.json" "$saved/model.safetensors" "$work/nan"
printf '\0\0\300\177' | dd of="$work/nan/model.safetensors" bs=1 seek=$(($(stat -c %s "$work/nan/model.safetensors") - 4)) conv=notrunc status=none
refuses 2 "training.teacher $work/nowhere is not a folder" --training.teacher="$work/nowhere"
refuses 1 "training.teacher $work/config.yaml is not a folder" --training.teacher="$work/config.yaml"
refuses 1 "empty has no model.safetensors" --training.teacher="$work/empty"
refuses 1 "reading .*bare/config.json" --training.teacher="$work/bare"
refuses 2 "nan: tensor .* has values that are not finite" --training.teacher="$work/nan"
refuses 2 "has vocab_size 320 and this model has 400" "${teacher[@]}" --model.vocab_size=400
refuses 1 "teacher_weight is 0: nothing is learned" "${teacher[@]}" --training.teacher_weight=0
refuses 1 "teacher_weight is 1.5, which is out of range" "${teacher[@]}" --training.teacher_weight=1.5
refuses 1 "teacher_weight 0.3 has no meaning without training.teacher" --training.teacher_weight=0.3
echo "a teacher gives the same losses on 1 to 4 ranks and after a resume, and an equal one changes no bit"
