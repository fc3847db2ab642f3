#!/usr/bin/env bash
# The CUDA device and the NCCL communicator, over a runtime and libraries that compute on the CPU: the CPU's numbers bit for
# bit on one and several ranks, one message for each kind of failure, and an end when a collective hangs. Needs FAKE
# (the program) and FAKE_LIBRARIES (the folder of its cuBLASLt and NCCL) besides.
source "$(dirname "$0")/common.sh"
: "${FAKE:?the flame-c that is linked with the fake runtime}" "${FAKE_LIBRARIES:?the folder of the fake libraries}"
: "${FAKE_LAUNCH:?launch_cuda.c on a runtime that only counts shared memory}" "${FAKE_PITCH:?copies of rows far apart}"
unset CUDA_VISIBLE_DEVICES
make_data
make_config
on=(--config "$work/config.yaml" --checkpoint.enable_checkpoint=true --checkpoint.interval=3
    --data.validation_files="[$work/data.h5]" --data.validation_interval=7 --data.validation_steps=1
    --metrics.sample_prompts="[int,static]" --metrics.sample_tokens=12)
on_gpu() { LD_LIBRARY_PATH=$FAKE_LIBRARIES:${LD_LIBRARY_PATH:-} FLAME=$FAKE ranks "$@" --device=cuda; }
sum() { sha256sum <"$1/checkpoint/step-00000009/model.safetensors"; }
# The second run resumes, and validates between a step that is launched and one that is recorded.
two_runs() {
    "$@" --training.steps=6 && "$@" --training.steps=9 || { cat "$work/log"; fail "$*"; }
}

previews() { grep '"kind": "sample"' "$1/metrics.jsonl"; }
# same NAME A B: losses, texts and weights of two runs.
same() {
    cmp <(previews "$2") <(previews "$3") || fail "$1: texts differ from the CPU's"
    losses "$2" >"$work/a"
    losses "$3" >"$work/b"
    [ -s "$work/a" ] && cmp "$work/a" "$work/b" || fail "$1: losses differ from the CPU's"
    [ "$(sum "$2")" = "$(sum "$3")" ] || fail "$1: weights differ from the CPU's"
}

for mesh in 1x1 1x3 2x1 2x2; do # replicas x shards
    for type in float32 bfloat16; do
        run=$work/$mesh-$type replicas=${mesh%x*} count=$((${mesh%x*} * ${mesh#*x}))
        arguments=("${on[@]}" --training.mixed_precision_param=$type --training.data_parallel_replicate_degree="$replicas")
        two_runs ranks $count "${arguments[@]}" --job.dump_folder="$run-cpu"
        FAKE_CUDA_GPUS=$count two_runs on_gpu $count "${arguments[@]}" --job.dump_folder="$run-gpu"
        same "$mesh, $type" "$run-cpu" "$run-gpu"
        FAKE_CUDA_GPUS=$count two_runs on_gpu $count "${arguments[@]}" --training.enable_cpu_offload=true --job.dump_folder="$run-offloaded"
        same "$mesh, $type, offloaded" "$run-cpu" "$run-offloaded"
    done
done
# A teacher's blocks are gathered and replayed with the model's.
for mesh in 1x1 2x2; do
    run=$work/taught-$mesh replicas=${mesh%x*} count=$((${mesh%x*} * ${mesh#*x}))
    arguments=("${on[@]}" --training.mixed_precision_param=bfloat16 --training.teacher="$work/1x1-float32-cpu" --training.seed=8
        --training.data_parallel_replicate_degree="$replicas")
    two_runs ranks $count "${arguments[@]}" --job.dump_folder="$run-cpu"
    FAKE_CUDA_GPUS=$count two_runs on_gpu $count "${arguments[@]}" --job.dump_folder="$run-gpu"
    same "$mesh, with a teacher" "$run-cpu" "$run-gpu"
    FAKE_CUDA_GPUS=$count two_runs on_gpu $count "${arguments[@]}" --training.fsdp_reshard_after_forward=never \
        --training.enable_cpu_offload=true --job.dump_folder="$run-never"
    same "$mesh, with a teacher that stays gathered" "$run-cpu" "$run-never"
done
# With more blocks than buffers, gathers and reductions are in flight together. The user's setting of NCCL's threads has no
# effect.
sed 's/num_hidden_layers: 2/num_hidden_layers: 5/' "$work/config.yaml" >"$work/deep.yaml"
deep=(--config "$work/deep.yaml" "${on[@]:2}" --training.mixed_precision_param=float32 --training.data_parallel_replicate_degree=2)
two_runs ranks 4 "${deep[@]}" --job.dump_folder="$work/deep-cpu"
FAKE_CUDA_GPUS=4 NCCL_COMM_BLOCKING=0 two_runs on_gpu 4 "${deep[@]}" --job.dump_folder="$work/deep-gpu"
same "five blocks" "$work/deep-cpu" "$work/deep-gpu"
FAKE_CUDA_GPUS=4 NCCL_LAUNCH_ORDER_IMPLICIT=0 on_gpu 4 "${deep[@]}" --training.steps=6 --job.dump_folder="$work/unordered" && fail "the user's NCCL_LAUNCH_ORDER_IMPLICIT does not count"
grep -q ': a deadlock' "$work/log" || { cat "$work/log"; fail "collectives in different orders are not noticed"; }
FAKE_CUDA_GPUS=3 two_runs on_gpu 3 "${on[@]}" --training.mixed_precision_param=float32 --training.cuda_graph=false --job.dump_folder="$work/launched"
same "without a graph" "$work/1x3-float32-cpu" "$work/launched"
two_runs on_gpu 3 "${on[@]}" --comm.share_gpu=mpi --training.mixed_precision_param=float32 --job.dump_folder="$work/shared"
same "ranks that share a GPU" "$work/1x3-float32-cpu" "$work/shared"

# The kernel with the longest arguments: the table of a rotation of 256 channels.
sed 's/^model: .*/model: {model_type: transformer, hidden_size: 256, num_hidden_layers: 1, num_heads: 1, vocab_size: 320}/
     /use_short_conv: true, attn/d' "$work/config.yaml" >"$work/wide.yaml"
wide=(--config "$work/wide.yaml" --training.steps=2 --training.mixed_precision_param=float32)
ranks 1 "${wide[@]}" --job.dump_folder="$work/wide-cpu" || { cat "$work/log"; fail "heads of 256 channels on the CPU"; }
on_gpu 1 "${wide[@]}" --job.dump_folder="$work/wide-gpu" || { cat "$work/log"; fail "heads of 256 channels"; }
losses "$work/wide-cpu" >"$work/a"
[ -s "$work/a" ] && losses "$work/wide-gpu" | cmp - "$work/a" || fail "heads of 256 channels: losses differ from the CPU's"
LD_LIBRARY_PATH=$FAKE_LIBRARIES:${LD_LIBRARY_PATH:-} "$FAKE_PITCH" || fail "rows far apart"

# The scores of each token of an evaluation, and of requests in several micro-batches.
for ((i = 0; i < 30; i++)); do printf '{"text": "%s"}\n' "$(printf '%*s' $((i * 7 % 40 + 1)) text)"; done >"$work/requests.jsonl"
for device in cpu cuda; do
    evaluates() { if [ $device = cpu ]; then ranks 2 "$@" --device=cpu; else FAKE_CUDA_GPUS=2 on_gpu 2 "$@"; fi || { cat "$work/log"; fail "$1 on $device"; }; }
    evaluates eval --checkpoint "$work/1x3-float32-cpu" --data "$work/data.h5" --seq-len 64 --samples 99 --json "$work/eval-$device"
    evaluates eval --checkpoint "$work/1x3-float32-cpu" --data "$work/data.h5" --seq-len 64 --context 160 --samples 33 --json "$work/long-$device"
    evaluates score --checkpoint "$work/1x3-float32-cpu" --input "$work/requests.jsonl" --out "$work/score-$device" --batch-tokens 1
done
for command in eval long score; do cmp "$work/$command-cpu" "$work/$command-cuda" || fail "$command differs from the CPU's"; done

# Products use the kernels that need addresses and rows at multiples of 16 bytes, also where small vectors lie before matrices
# and where units are gathered from several ranks.
sed 's/^model: .*/model: {model_type: gated_deltanet, hidden_size: 64, num_hidden_layers: 2, num_heads: 3, head_dim: 16, vocab_size: 320}/
     /use_short_conv: true, attn/d' "$work/config.yaml" >"$work/fast.yaml"
fast() {
    on_gpu "$1" --config "$work/fast.yaml" --training.steps=2 --training.mixed_precision_param="$2" --job.dump_folder="$work/fast-$1-$2" ||
        { cat "$work/log"; fail "gated_deltanet on $1 ranks"; }
    [ "$(grep -cE '^0 of [1-9][0-9]* products lost' "$work/log")" = "$1" ] || { cat "$work/log"; fail "products lost their fast kernels"; }
}
for type in float32 bfloat16; do
    FAKE_CUDA_PRODUCTS=1 fast 1 $type
    FAKE_CUDA_PRODUCTS=1 FAKE_CUDA_GPUS=3 fast 3 $type
done
# A chunked op's states are the same whether they are kept for backward or recomputed.
on_gpu 1 --config "$work/fast.yaml" --training.steps=2 --training.mixed_precision_param=bfloat16 --activation_checkpoint.mode=selective \
    --job.dump_folder="$work/again" || { cat "$work/log"; fail "gated_deltanet, selective"; }
[ "$(losses "$work/again")" = "$(losses "$work/fast-1-bfloat16")" ] || fail "selective has other losses than none"

# says CODE WORDS RANKS ARGUMENTS...: exit code and one message (of a hang, one from each rank that notices).
says() {
    local code=$1 words=$2 got=0
    rm -rf "$work/none"
    on_gpu "$3" "${on[@]}" --training.steps=6 --job.dump_folder="$work/none" "${@:4}" || got=$?
    [ "$got" = "$code" ] || { cat "$work/log"; fail "exit code $got, not $code, for: $words"; }
    grep -qE -- "$words" "$work/log" || { cat "$work/log"; fail "missing message: $words"; }
    [ "$(grep -c 'error: ' "$work/log")" = 1 ] || [ "$code" = 5 ] || { cat "$work/log"; fail "not exactly one error: $words"; }
}
FAKE_CUDA_ERROR=35 FAKE_CUDA_DRIVER=0 says 1 'no NVIDIA driver here' 2
built=$("$FAKE" --version | sed -n 's/^CUDA \([0-9]*\)\.[0-9]*, for driver R\(525\|580\) or newer$/\1 R\2/p')
case $built in
    "12 R525") other=13 ;;
    "13 R580")
        other=12
        FAKE_CUDA_ERROR=35 FAKE_CUDA_DRIVER=12020 says 1 \
            'too old: it knows CUDA 12.2, and this build, for CUDA 13\.[0-9]*, needs driver R580 or newer. Take the build for CUDA 12 .* driver R525 and newer' 1
        ;;
    *) fail "--version says of CUDA: $built" ;;
esac
FAKE_CUDA_ERROR=35 FAKE_CUDA_DRIVER=11040 says 1 \
    "too old: it knows CUDA 11.4, and this build, for CUDA ${built% *}\.[0-9]*, needs driver ${built#* } or newer. Update the driver: no build runs on one older than R525" 1
FAKE_CUDA_ERROR=34 says 1 'stub of libcuda' 1
FAKE_CUDA_ERROR=100 FAKE_CUDA_GPUS=0 says 1 'finds no GPU' 1
FAKE_CUDA_ERROR=100 CUDA_VISIBLE_DEVICES= says 1 'CUDA_VISIBLE_DEVICES is ""' 1
FAKE_CUDA_ERROR=802 says 1 'fabric manager' 1
FAKE_CUDA_ERROR=999 says 1 'cudaErrorUnknown \(999\)' 1
FAKE_CUDA_MAJOR=7 says 1 'compute capability 7\.[0-9]; this program needs 8\.0' 1
FAKE_CUDA_GPUS=2 says 1 'fewer GPUs than ranks: 2 ranks have the same one \(3 ranks' 3
FAKE_CUDA_MEMORY=36000000 says 1 'out of memory on cuda: the measured product needs 3.1 MB and [0-9.]+ MB are free. Lower' 1
FAKE_CUDA_MEMORY=40000000 says 1 'each rank needs [0-9]+ MB and may have [0-9]+ MB: parameters.*batch_size.*activation_checkpoint' 1 --training.batch_size=8 --training.seq_len=4096
says 1 'micro-batch is too large for a GPU: chunk_gla_products needs 1 x [0-9]+ x 1 thread blocks, .* 65535\. Lower training\.batch_size' 1 --training.batch_size=32800 --training.seq_len=8
FAKE_CUDA_GPUS=2 FAKE_NCCL_VERSION=21903 says 1 'NCCL, which cannot be used: it is version 2\.19\.3, and before 2\.26 .* wait for each other for ever\. Install 2\.26 or newer .*pip install nvidia-nccl-cu1' 2
FAKE_CUDA_GPUS=2 FAKE_NCCL_CONNECT=hang says 5 'rank [01]\] no progress for 2 s in the connection of the ranks \(NCCL_DEBUG=INFO' 2 --comm.train_timeout_seconds=2
FAKE_CUDA_GPUS=2 FAKE_NCCL_CONNECT=fail says 1 'NCCL cannot connect.*interface is NCCL.s choice \(NCCL_SOCKET_IFNAME\)' 2
FAKE_CUDA_GPUS=2 FAKE_NCCL_HANG=1:9 says 5 'rank [01]\] no progress for 2 s in the .* of (root|model.layers.[01])' 2 --training.cuda_graph=false --comm.train_timeout_seconds=2
FAKE_CUDA_GPUS=2 FAKE_NCCL_HANG=1:60 says 5 'rank [01]\] no progress for 2 s in the replay of a micro-batch' 2 --comm.train_timeout_seconds=2
FAKE_CUDA_GPUS=4 FAKE_NCCL_HANG=1:1 says 5 'rank [13]\] no progress for 2 s in the all-gather of (root|model.layers.[01]) over the replicas\.' 4 --training.data_parallel_replicate_degree=2 --comm.train_timeout_seconds=2

# A fault of the GPU is reported as such by the thread that notices it first: the main thread, also in cuBLASLt or NCCL, or the
# watchdog while that hangs. All other ranks end at once: nothing here waits for 300 s.
advice='An earlier kernel is at fault.*CUDA_LAUNCH_BLOCKING=1.*compute-sanitizer'
FAKE_CUDA_STICKY=0:400 says 3 "the GPU failed: an illegal memory access was encountered \(cudaErrorIllegalAddress\) at .*[.]c:[0-9]+\. $advice" 1
by_product=no
for kernel in {60..67}; do
    FAKE_CUDA_STICKY=0:$kernel says 3 "the GPU failed: .*\. $advice" 1
    ! grep -q 'cuda_gemm\.c' "$work/log" || by_product=yes
done
[ $by_product = yes ] || fail "no product was the first to notice a fault"
FAKE_CUDA_STICKY=0:400:214 says 3 'error: the GPU failed: .*damaged: nvidia-smi .*\. The run goes on from its last checkpoint$' 1
FAKE_CUDA_STICKY=0:400:226 says 3 'error: the GPU failed: .*:[0-9]+\. The run goes on from its last checkpoint$' 1
FAKE_CUDA_GPUS=2 FAKE_CUDA_STICKY=1:400 says 3 "rank 1\] the GPU failed: .*\. $advice" 2
FAKE_CUDA_GPUS=2 FAKE_NCCL_FAULT=1:9 says 3 "rank 1\] the GPU failed: an illegal memory access was encountered \(cudaErrorIllegalAddress\), at the earliest in the [a-z-]* of (root|model.layers.[01])\. $advice" 2 --training.cuda_graph=false
FAKE_CUDA_GPUS=2 FAKE_NCCL_FAULT=1:60 says 3 "rank 1\] the GPU failed: .* at the earliest in the [a-z-]* of .*\\. $advice" 2

# cuBLASLt: either major version works; a missing or broken library is reported
(
    FAKE_LIBRARIES=$FAKE_LIBRARIES/other
    on_gpu 1 "${on[@]}" --training.steps=2 --job.dump_folder="$work/other" || { cat "$work/log"; fail "libcublasLt.so.$other alone is not taken"; }
)
FAKE_CUDA_LT_STATUS=1 says 1 "cuBLAS cannot be opened: libcublasLt.so.${built% *} does not start: an error; .*libcublasLt.so.$other.* Install that of CUDA ${built% *}" 1
mkdir "$work/broken"
touch "$work"/broken/libcublasLt.so.{12,13} # hide those of the machine
FAKE_LIBRARIES=$work/broken says 1 \
    "cuBLAS cannot be opened: [^ ]*libcublasLt.so.${built% *}: .*; [^ ]*libcublasLt.so.$other: .* Install that of CUDA ${built% *} \(pip install nvidia-cublas" 1

# a kernel without room in shared memory
got=0
"$FAKE_LAUNCH" >"$work/log" 2>&1 || got=$?
[ "$got" = 1 ] && [ "$(head -n 1 "$work/log")" = "7 x 128 threads, 166912 bytes" ] && [ "$(grep -c . "$work/log")" = 2 ] &&
    grep -q 'error: attention_forward_256 in float32 needs 326 KiB of shared memory, and a thread block of this GPU can have 163 KiB. In bfloat16' "$work/log" ||
    { cat "$work/log"; fail "a kernel that does not fit: exit code $got"; }

# auto uses a GPU that works, and the CPU if there is no GPU; a GPU that does not work is an error
LD_LIBRARY_PATH=$FAKE_LIBRARIES "$FAKE" verify "$source_folder/tests/golden/gla-swa-packed" >"$work/log" 2>&1 && grep -q "Fake GPU" "$work/log" || fail "auto does not take the GPU"
FAKE_CUDA_ERROR=100 "$FAKE" verify "$source_folder/tests/golden/gla" >"$work/log" 2>&1 || fail "auto does not take the CPU"
FAKE_CUDA_MAJOR=7 "$FAKE" verify "$source_folder/tests/golden/gla" >"$work/log" 2>&1 && fail "auto ignores a GPU that does not work"
echo "the CPU's numbers bit for bit, every message, and an end"
