#!/usr/bin/env bash
# The program on a device whose memory the host cannot touch and whose copies arrive as late as they may: training, saving,
# resuming, evaluating and logits give the CPU's numbers bit for bit, on one and on several ranks. Also needs GUARDED.
source "$(dirname "$0")/common.sh"
: "${GUARDED:?the flame-c that computes on the guarded device}"
make_data
make_config
on=(--config "$work/config.yaml" --training.steps=12 --checkpoint.enable_checkpoint=true --checkpoint.interval=5
    --data.validation_files="[$work/data.h5]" --data.validation_interval=6 --data.validation_steps=1
    --metrics.sample_prompts="[int,static]" --metrics.sample_tokens=20)
guarded() { FLAME=$GUARDED ranks "$@" || { cat "$work/log"; fail "on the guarded device: $*"; }; }
sum() { sha256sum <"$1/checkpoint/step-00000012/$2.safetensors"; }
previews() { grep '"kind": "sample"' "$1/metrics.jsonl"; }
same() {
    losses "$2" >"$work/a"
    losses "$3" >"$work/b"
    [ "$(wc -l <"$work/a")" = 12 ] && cmp "$work/a" "$work/b" || fail "$1: losses differ from the CPU's"
    [ "$(previews "$2" | wc -l)" -ge 2 ] && cmp <(previews "$2" | tail -2) <(previews "$3" | tail -2) || fail "$1: texts differ from the CPU's"
    for part in model optimizer; do [ "$(sum "$2" $part)" = "$(sum "$3" $part)" ] || fail "$1: $part.safetensors differs"; done
}

for count in 1 3; do
    for type in float32 bfloat16; do
        run=$work/$count-$type
        arguments=("${on[@]}" --training.mixed_precision_param=$type)
        ranks $count "${arguments[@]}" --job.dump_folder="$run-cpu" || { cat "$work/log"; fail "on the CPU"; }
        guarded $count "${arguments[@]}" --job.dump_folder="$run-guarded" --checkpoint.async_mode=async
        same "$count ranks, $type" "$run-guarded" "$run-cpu"
    done
done

taught=("${on[@]}" --training.teacher="$work/1-float32-cpu" --training.seed=8)
ranks 3 "${taught[@]}" --job.dump_folder="$work/taught-cpu" || { cat "$work/log"; fail "on the CPU, with a teacher"; }
guarded 3 "${taught[@]}" --job.dump_folder="$work/taught-guarded"
same "with a teacher" "$work/taught-guarded" "$work/taught-cpu"

cp -r "$work/3-float32-cpu" "$work/resumed"
rm -rf "$work/resumed/checkpoint/step-00000012"
guarded 3 "${on[@]}" --job.dump_folder="$work/resumed"
grep -q "resuming after step 10" "$work/log" || fail "the run was not resumed"
same "resumed" "$work/resumed" "$work/3-float32-cpu"
guarded 1 verify "$source_folder/tests/golden/gla-swa-packed" --dtype bfloat16 --tolerance 0.2
guarded 3 verify "$source_folder/tests/golden/gla-conv-gqa"

for flame in "$FLAME" "$GUARDED"; do
    FLAME=$flame ranks 2 eval --checkpoint "$work/resumed" --data "$work/data.h5" --seq-len 64 --samples 9 || fail "eval"
    sed -n '/ targets /,$p' "$work/log" >"$work/eval-$(basename "$flame")"
    [ "$(wc -l <"$work/eval-$(basename "$flame")")" = 13 ] || { cat "$work/log"; fail "eval's table"; }
    printf '{"text": "%s"}\n' "a text" "another, which is longer" >"$work/requests.jsonl"
    FLAME=$flame ranks 2 score --checkpoint "$work/resumed" --input "$work/requests.jsonl" --out "$work/score-$(basename "$flame")" || fail "score"
    "$flame" logits --checkpoint "$work/resumed" --tokens "$source_folder/tests/golden/gla/io.safetensors" \
        --out "$work/$(basename "$flame").safetensors" || fail "logits"
done
cmp "$work"/eval-* || fail "eval differs from the CPU's"
cmp "$work"/score-* || fail "score differs from the CPU's"
cmp "$work"/flame-c*.safetensors || fail "logits differ from the CPU's"
echo "training, resuming, evaluation, scores and logits equal the CPU's bit for bit"
