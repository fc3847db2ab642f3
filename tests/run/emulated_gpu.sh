#!/usr/bin/env bash
# Whole models on the CUDA device with the GPU's form of every kernel, which the emulator runs: a reference case of each mixer in
# bf16 (or those of $CASES) by the rule of launch/gpu-check.sh, its gradients with every activation_checkpoint.mode, training on
# one and three ranks, evaluation, and generation. Needs EMULATED (the program) and FAKE_LIBRARIES as fake_gpu.sh does.
source "$(dirname "$0")/common.sh"
: "${EMULATED:?the flame-c whose kernels the emulator runs}" "${FAKE_LIBRARIES:?the folder of the fake libraries}"
unset CUDA_VISIBLE_DEVICES
on_gpu() { LD_LIBRARY_PATH=$FAKE_LIBRARIES:${LD_LIBRARY_PATH:-} FLAME=$EMULATED ranks "$@" --device=cuda; }

mkdir "$work/golden"
verify_case() {
    local arguments=(verify "$source_folder/tests/golden/$1" --dtype bfloat16 --tolerance 1e9)
    "$FLAME" "${arguments[@]}" --device cpu >"$work/golden/$1.cpu.bfloat16" 2>&1
    LD_LIBRARY_PATH=$FAKE_LIBRARIES:${LD_LIBRARY_PATH:-} "$EMULATED" "${arguments[@]}" --device cuda >"$work/golden/$1.cuda.bfloat16" 2>&1
}
export -f verify_case
export FLAME EMULATED FAKE_LIBRARIES source_folder work
cases=${CASES:-$(sed -n 's/^MIXER(\(.*\))/\1/p' "$source_folder/src/models/mixers.def" | while read -r mixer; do
    [ ! -d "$source_folder/tests/golden/$mixer" ] || echo "$mixer"
done)}
xargs -n 1 -P 2 bash -c 'verify_case "$0"' <<<"$cases" || { tail -n 3 "$work"/golden/*; fail "a case did not run"; }
eval "$(sed -n '/^excess_\(of\|is_good\)() {/,/^}/p' "$source_folder/launch/gpu-check.sh")"
worst=0
for case in $cases; do
    read -r mean largest where <<<"$(excess_of "$case")"
    excess_is_good "$mean" "$largest" || fail "$case is too far from its reference: $mean times the CPU's error, $largest in $where"
    worst=$(printf '%s\n' "$worst" "$mean in $case" | sort -g | tail -n 1)
done

make_data
# Two chunks, of several documents. Adam's moments after a step have the bits of all gradients.
trains_case() {
    local run=$work/modes/$1 mode
    mkdir -p "$run"
    for mode in none selective full; do
        cat >"$run/$mode.yaml" <<END
model: {config: $source_folder/tests/golden/$1/config.json, vocab_size: 320}
training: {steps: 1, batch_size: 1, global_batch_size: 1, seq_len: 80, varlen: true, mixed_precision_param: bfloat16}
lr_scheduler: {warmup_steps: 0}
data: {files: [$work/data.h5]}
checkpoint: {enable_checkpoint: true, interval: 1}
activation_checkpoint: {mode: $mode}
END
        LD_LIBRARY_PATH=$FAKE_LIBRARIES:${LD_LIBRARY_PATH:-} "$EMULATED" --config "$run/$mode.yaml" --device=cuda \
            --job.dump_folder="$run/$mode" >"$run/$mode.log" 2>&1 || { cat "$run/$mode.log"; return 255; }
        cmp "$run"/{none,$mode}/checkpoint/step-00000001/optimizer.safetensors || return 255
    done
    rm -rf "$run"
}
export -f trains_case
xargs -n 1 -P 2 bash -c 'trains_case "$0"' <<<"$cases" || fail "gradients depend on activation_checkpoint.mode"

cat >"$work/config.yaml" <<END
model: {model_type: gated_deltanet, hidden_size: 64, num_hidden_layers: 2, num_heads: 2, head_dim: 32, vocab_size: 320,
        attn: {layers: [1], num_heads: 2, window_size: 32}}
training: {steps: 3, batch_size: 1, global_batch_size: 3, seq_len: 96, mixed_precision_param: bfloat16}
lr_scheduler: {warmup_steps: 0}
data: {files: [$work/data.h5]}
metrics: {log_freq: 1}
checkpoint: {enable_checkpoint: true, interval: 3}
END
ranks 1 --config "$work/config.yaml" --device=cpu --job.dump_folder="$work/cpu" || { cat "$work/log"; fail "training on the CPU"; }
losses "$work/cpu" >"$work/losses"
evaluates() { "${@:2}" eval --checkpoint "$work/cpu" --data "$work/data.h5" --seq-len 96 --samples 4 --dtype bfloat16 --json "$work/$1" || { cat "$work/log"; fail "eval"; }; }
loss_of() { sed -n 's/.*"loss": *\([-+.0-9e]*\).*/0 \1/p' "$work/$1" | head -n 1; }
evaluates eval-cpu ranks 1
# 1e-3: bf16 rounds activations to 8 bits and gradients in another order, which averages over a few hundred tokens.
for count in 1 3; do
    export FAKE_CUDA_GPUS=$count
    on_gpu "$count" --config "$work/config.yaml" --job.dump_folder="$work/gpu-$count" || { cat "$work/log"; fail "training on $count ranks"; }
    losses "$work/gpu-$count" | same_within - "$work/losses" 1e-3 || fail "losses on $count ranks"
    evaluates eval-$count on_gpu "$count"
    loss_of eval-$count | same_within - <(loss_of eval-cpu) 1e-3 || fail "the loss of an evaluation on $count ranks"
done
on_gpu 1 generate --checkpoint "$work/cpu" --prompt "static int" --max-new-tokens 12 --ignore-eos --dtype bfloat16
grep -q ', 12 generated in' "$work/log" || { cat "$work/log"; fail "generate"; }
echo "whole models with the GPU's kernels: $(wc -w <<<"$cases") cases, at most $worst times as far off as on the CPU"
