#!/usr/bin/env bash
# launch/gpu-check.sh with the fake runtime: parts that pass, a part that fails, no GPU; each with its exit code, its table
# and its JSON. Needs FAKE and FAKE_LIBRARIES as fake_gpu.sh does, EMULATED, and FAKE_OPS.
source "$(dirname "$0")/common.sh"
: "${FAKE:?the flame-c that is linked with the fake runtime}" "${EMULATED:?the flame-c whose kernels the emulator runs}"
: "${FAKE_OPS:?the op tests that are linked with the fake runtime}"
: "${FAKE_LIBRARIES:?the folder of the fake libraries}"
unset CUDA_VISIBLE_DEVICES
bundle=$work/bundle
mkdir -p "$bundle"/{launch,tests/golden}
# The same with smaller models, and fewer and shorter sequences.
sed -e 's/hidden_size: 256/hidden_size: 64/' -e 's/ seq_len: 512,/ seq_len: 64,/' -e 's/steps: 200,/steps: 40,/' \
    -e 's/^timed_tokens=.*/timed_tokens=128 long_sequences=(192)/' "$source_folder/launch/gpu-check.sh" >"$bundle/launch/gpu-check.sh"
chmod +x "$bundle/launch/gpu-check.sh"
cp -r "$source_folder"/tests/golden/{gla-swa,mamba2} "$bundle/tests/golden/"
mkdir "$bundle/tests/golden/gla" && cp -r "$source_folder"/tests/golden/gla/. "$bundle/tests/golden/gla/"
ln -s "$FAKE" "$bundle/flame-c"
cd "$work"
make_config
export PYTHON=none LD_LIBRARY_PATH=$FAKE_LIBRARIES${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

# checked CODE WORDS PART...: the exit code, and what the table and the JSON both say.
checked() {
    local code=0
    "$bundle/launch/gpu-check.sh" "${@:3}" >"$work/log" 2>&1 || code=$?
    [ "$code" = "$1" ] || { cat "$work/log"; fail "exit code $code, not $1, of: ${*:3}"; }
    head -n 1 "$work/log" | grep -qE '^driver .*; this build: CUDA 1[23]\.[0-9]+, for driver R5[0-9]+ or newer$' ||
        { cat "$work/log"; fail "it does not begin with the driver and the build"; }
    grep -qE -- "$2" "$work/log" && grep -qE -- "$2" gpu-check.json || { cat "$work/log" gpu-check.json; fail "missing message: $2"; }
    ! command -v python3 >/dev/null || python3 -m json.tool gpu-check.json >/dev/null || fail "gpu-check.json is not JSON"
}
# nvidia-smi lists four GPUs; how many flame-c sees is FAKE_CUDA_GPUS.
mkdir "$work/bin"
printf '#!/bin/sh\n[ "$1" != -L ] || for i in 0 1 2 3; do echo "GPU $i: Fake GPU"; done\n' >"$work/bin/nvidia-smi"
chmod +x "$work/bin/nvidia-smi"
export PATH=$work/bin:$PATH
checked 0 '3 of 3 cases agree in fp32 and bf16' golden
checked 0 'weights and moments equal bit for bit, losses: mean distance 0.00e\+00' resume
checked 0 'there is no none' compare

# The GPU's kernels pass in bf16, also in a case with a tensor whose error varies much. Kernels do not that make all errors larger,
# or one. SPOIL, an awk program, does that to the table of errors.
rm -r "$bundle/tests/golden" "$bundle/flame-c"
mkdir "$bundle/tests/golden"
cp -r "$source_folder"/tests/golden/{gla,gsa-gqa-conv-packed} "$bundle/tests/golden/"
cat >"$bundle/flame-c" <<'END'
#!/usr/bin/env bash
case "$*" in
    *cuda*bfloat16*) set -o pipefail; "$EMULATED" "$@" 2>&1 | awk "${SPOIL:-} { print }" ;;
    *) exec "$FAKE" "$@" ;;
esac
END
chmod +x "$bundle/flame-c"
export FAKE EMULATED
checked 0 '2 of 2 cases agree in fp32 and bf16' golden
SPOIL='/^(logits|grad)/ { $2 *= 3 }' checked 1 '0 of 2 cases agree in fp32 and bf16' golden
SPOIL='/^grad.*k_conv1d/ { $2 = 1 }' checked 1 'gsa-gqa.*WRONG: grad.model.layers.0.attn.k_conv1d.weight 1 on the CPU' golden
grep -q '^golden.*1 of 2 cases agree' "$work/log" || { cat "$work/log"; fail "one of two cases is wrong"; }
SPOIL='/^grad.*norm/ { $2 = "nan  FAILED" }' checked 1 '0 of 2 cases agree in fp32 and bf16' golden
ln -sf "$FAKE" "$bundle/flame-c"

FAKE_NCCL_CONNECT=fail FAKE_CUDA_GPUS=2 checked 1 'NCCL cannot connect' ranks
grep -q '2 ranks, a GPU each: failed' "$work/log" && grep -q '4 ranks, 2 GPUs, NCCL: failed' "$work/log" ||
    { cat "$work/log"; fail "two GPUs are visible, whatever nvidia-smi lists"; }
# With several GPUs, ranks of one of them still send through the host: without NCCL, this run is the only one that works.
FAKE_NCCL_CONNECT=fail FAKE_CUDA_GPUS=4 checked 1 '2 ranks, one GPU, through the host: mean distance .* over 20 steps' ranks
FAKE_CUDA_GPUS=1 checked 0 '2 ranks, one GPU, NCCL: mean distance' ranks
[ "$(grep -c 'mean distance .* over 20 steps' "$work/log")" = 4 ] || { cat "$work/log"; fail "ranks"; }
checked 0 'bf16 on the GPU and fp32 on the CPU: mean distance .* over 40 steps' curve
# A run that is stopped for lack of time is no failure of the GPU.
rm "$bundle/flame-c"
printf '#!/bin/sh\ncase $* in *curve-cpu*) exec sleep 99; esac\nexec "$FAKE" "$@"\n' >"$bundle/flame-c"
chmod +x "$bundle/flame-c"
checked 0 'stopped, too slow' --seconds 15 curve
grep -q '^curve *cut off' "$work/log" || { cat "$work/log"; fail "curve is not cut off"; }
ln -sf "$FAKE" "$bundle/flame-c"

mkdir "$bundle/tests/ops"
printf 'OP_TEST(%s)\n' rms_norm swiglu >"$bundle/tests/ops/op_tests.def"
ln -s "$FAKE_OPS" "$bundle/test_ops"
checked 0 '2 of 2 ops agree' ops
echo 'OP_TEST(no_such_op)' >>"$bundle/tests/ops/op_tests.def"
checked 1 '2 of 3 ops agree; not: no_such_op' ops
rm -r "$bundle/tests/ops"

mkdir "$bundle/configs"
for config in gla gla-swa transformer gated_deltanet gated_deltanet-swa mamba2; do
    sed 's/^model: .*/model: {model_type: gla, hidden_size: 64, num_hidden_layers: 1, num_heads: 2, vocab_size: 320}/; /use_short_conv: true, attn/d' \
        "$work/config.yaml" >"$bundle/configs/$config-340M.yaml"
done
cp "$bundle/configs/gla-340M.yaml" "$bundle/configs/gla-1.3B.yaml"
sed -i 's/2048 /64 /; s/4096 /64 /' "$bundle/launch/gpu-check.sh"
checked 0 'gla-340M  +[0-9]+\.[0-9] +- +[0-9]+ ' --seconds 25 bench
grep -qE '^bench +(good|cut off) .* timed; MFU is of the product rate' "$work/log" || { cat "$work/log"; fail "bench"; }

FAKE_CUDA_ERROR=100 checked 1 'finds no GPU' golden resume
# A sanitizer that does not support the GPU does not make the ops fail.
mkdir "$bundle/tests/ops"
cp "$source_folder/tests/ops/op_tests.def" "$bundle/tests/ops/"
printf '#!/bin/sh\necho "========= Error: Device not supported"; exit 1\n' >"$work/bin/compute-sanitizer"
chmod +x "$work/bin/compute-sanitizer"
checked 0 'compute-sanitizer does not work here: .*Device not supported' sanitizer
# Libraries that come with Python packages, one in each folder, are found: this program tells what it was given.
mkdir -p "$work/site/nvidia/nccl/lib" && touch "$work/site/nvidia/nccl/lib/libnccl.so.2"
printf '#!/bin/sh\necho %s\n' "$work/site" >"$work/python"
rm "$bundle/flame-c"
printf '#!/bin/sh\necho "device $LD_LIBRARY_PATH"\n' >"$bundle/flame-c"
chmod +x "$work/python" "$bundle/flame-c"
PYTHON=$work/python "$bundle/launch/gpu-check.sh" sanitizer >"$work/log" 2>&1 || true
grep -q "^device $FAKE_LIBRARIES.*:$work/site/nvidia/nccl/lib" "$work/log" || { cat "$work/log"; fail "NCCL of a Python package is not found"; }

# A step's estimate stands beside its measurement where there is one: for the sequence length and settings that were estimated.
cd "$source_folder"
eval "$(sed -n '/^estimated() {/,/^}/p' launch/gpu-check.sh)"
[[ $(estimated gla-340M gla-340M 2048) =~ ^[0-9]+\.[0-9]+$ ]] || fail "the estimate of gla-340M is $(estimated gla-340M gla-340M 2048)"
for arguments in "gla-340M-8192 gla-340M 8192" "gla-340M-no-graph gla-340M 2048" "gla-7B gla-7B 2048"; do
    # shellcheck disable=SC2086 # three words
    [ "$(estimated $arguments)" = - ] || fail "an estimate of $arguments"
done
cd "$work"

code=0
"$bundle/launch/gpu-check.sh" rubbish >"$work/log" 2>&1 || code=$?
[ "$code" = 2 ] && grep -q 'launch/gpu-check.sh \[--seconds 530\]' "$work/log" || fail "a part that does not exist"
echo "every part says what it found, and the exit code too"
