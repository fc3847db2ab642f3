#!/usr/bin/env bash
# Does flame-c compute on this machine's GPU what it computes elsewhere, and how fast? Works in the repository after a build
# with CUDA, and in a bundle (launch/bundle.sh). Writes gpu-check.json and prints a table; exit code 0: every part that ran is
# good. All parts together take less than nine minutes: what has not begun by then is skipped, and said.
#   launch/gpu-check.sh [PART...]        default: all
#     ops        every op against its definition, on the GPU
#     golden     flame-c verify on all reference cases, fp32 and bf16
#     curve      200 steps beside the same 200 on the CPU
#     resume     a resumed run equals the uninterrupted one bit for bit
#     ranks      two and four NCCL ranks against one (on one GPU if need be)
#     sanitizer  compute-sanitizer's memcheck and racecheck on the op table, where it is installed
#     bench      the training step and each op, several models and lengths
#     compare    the same models in fla and PyTorch, where they are installed
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
programs=$here
[ -x "$here/flame-c" ] || programs=$here/build
flame=$programs/flame-c
ops=$programs/test_ops
mpirun=$programs/mpirun
[ -x "$ops" ] || ops=$programs/tests/test_ops
[ -x "$mpirun" ] || mpirun=mpirun
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/usr/local/cuda/lib64 # where the toolkit usually puts cuBLASLt
deadline=530 # seconds from the start
report=$PWD/gpu-check.json
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$here" || exit 2

# allowed SECONDS: no more than that, and no more than what is left.
allowed() {
    local left=$((deadline - SECONDS))
    echo $((left < $1 ? (left > 1 ? left : 1) : $1))
}

# within SECONDS COMMAND...
within() {
    local seconds code
    seconds=$(allowed "$1")
    timeout -k 5 "$seconds" "${@:2}"
    code=$?
    [ $code != 124 ] || echo "error: stopped after $seconds s: too slow, or no time left" >>"$work/log"
    return $code
}

# The part's sentence for the table.
say() {
    echo "$*" >>"$work/sentence"
}

gpus() {
    nvidia-smi -L 2>/dev/null | grep -c '^GPU'
}

make_run() {
    [ -e "$work/data.h5" ] && return 0
    mkdir -p "$work/text"
    seq 1 60000 | awk '{ print $1, $1 * $1, "is the square of", $1 }' >"$work/text/squares.txt"
    within 60 "$flame" data build --text "$work/text" --out "$work/data.h5" >"$work/log" 2>&1 || return 1
    cat >"$work/config.yaml" <<END
model: {model_type: gla, hidden_size: 256, num_hidden_layers: 4, num_heads: 4, vocab_size: 320, use_short_conv: true,
        attn: {layers: [2], num_heads: 4, window_size: 128}}
optimizer: {lr: 1.0e-3}
lr_scheduler: {warmup_steps: 20}
training: {steps: 200, batch_size: 2, global_batch_size: 8, seq_len: 512, varlen: true, seed: 7}
data: {files: [$work/data.h5]}
metrics: {log_freq: 1}
END
}

# train SECONDS DEVICE FOLDER ARGUMENTS...
train() {
    within "$1" "$flame" --config "$work/config.yaml" --device="$2" --job.dump_folder="$work/$3" "${@:4}" >>"$work/log" 2>&1
}

losses() {
    sed -n 's/.*"step": *\([0-9]*\).*"loss": *\([-+.0-9e]*\).*/\1 \2/p' "$work/$1/metrics.jsonl"
}

# distance FOLDER FOLDER BOUND: the mean relative difference of the losses; fails if it is larger, or there are none.
distance() {
    paste <(losses "$1") <(losses "$2") | awk -v bound="$3" '
        { d = $2 - $4; sum += (d < 0 ? -d : d) / $4; n++; a = $2; b = $4 }
        END { printf "mean distance %.2e, last losses %.4f and %.4f", n ? sum / n : 1, a, b; exit !(n && sum / n <= bound) }'
}

part_ops() {
    within 150 "$ops" all "cuda bf16" >"$work/log" 2>&1
    local code=$?
    say "$(grep -c '\[       OK' "$work/log") ops agree, $(grep -c '\[  FAILED  \] [a-z]' "$work/log") do not"
    return $code
}

# The worst error of a case; bf16 on the GPU may be as far from the reference as twice bf16 on the CPU.
worst_of() {
    within 60 "$flame" verify "$1" --device "$2" --dtype "$3" --tolerance 1e9 2>>"$work/log" | sed -n 's/^verify: .* worst .* \(.*\)/\1/p'
}

part_golden() {
    local case bad=0 all=0 exact=0
    for case in tests/golden/*/; do
        [ -e "$case/io.safetensors" ] || continue
        all=$((all + 1))
        echo "$case $(worst_of "$case" cuda float32) $(worst_of "$case" cuda bfloat16) $(worst_of "$case" cpu bfloat16)" >>"$work/golden"
    done
    cat "$work/golden" >>"$work/details"
    awk 'NF != 4 || $2 > 1e-3 || $3 > 2 * $4 { print "  " $0; bad++ } END { exit bad > 0 }' "$work/golden" || bad=1
    exact=$(awk '$2 > worst { worst = $2 } END { print worst }' "$work/golden")
    say "$all cases; fp32 within $exact; bf16 $([ $bad = 0 ] && echo "as near as on the CPU" || echo "too far in some")"
    return $bad
}

part_curve() {
    make_run || return 1
    train 90 cuda curve-gpu --training.mixed_precision_param=bfloat16 && train 120 cpu curve-cpu --training.mixed_precision_param=float32 || return 1
    say "200 steps, bf16 on the GPU and fp32 on the CPU: $(distance curve-gpu curve-cpu 0.02)"
    distance curve-gpu curve-cpu 0.02 >/dev/null
}

part_resume() {
    make_run || return 1
    local on=(--training.steps=20 --checkpoint.enable_checkpoint=true --checkpoint.interval=10) a b
    train 60 cuda whole "${on[@]}" || return 1
    cp -r "$work/whole" "$work/again" && rm -rf "$work/again/checkpoint/step-00000020"
    train 60 cuda again "${on[@]}" || return 1
    a=$(cat "$work"/whole/checkpoint/step-00000020/*.safetensors | sha256sum)
    b=$(cat "$work"/again/checkpoint/step-00000020/*.safetensors | sha256sum)
    say "weights and moments $([ "$a" = "$b" ] && echo "equal bit for bit" || echo differ)"
    [ "$a" = "$b" ]
}

part_ranks() {
    make_run || return 1
    local count bad=0 share=()
    local on=(--device=cuda --training.steps=20 --training.mixed_precision_param=float32)
    train 60 cuda ranks-1 "${on[@]}" || return 1
    for count in 2 4; do
        [ "$(gpus)" -ge $count ] && share=() || share=(env FLAME_SHARE_GPU=nccl)
        within 90 "${share[@]}" "$mpirun" --allow-run-as-root --oversubscribe --bind-to none -np $count "$flame" \
            --config "$work/config.yaml" "${on[@]}" --job.dump_folder="$work/ranks-$count" --training.batch_size=1 >>"$work/log" 2>&1
        say "$count ranks${share:+ on one GPU}: $(distance "ranks-$count" ranks-1 1e-3)" || bad=1
        distance "ranks-$count" ranks-1 1e-3 >/dev/null || bad=1
    done
    return $bad
}

part_sanitizer() {
    command -v compute-sanitizer >/dev/null || return 77
    local tool bad=0
    for tool in memcheck racecheck; do
        within 60 compute-sanitizer --target-processes all --error-exitcode 9 --tool $tool "$ops" all "cuda bf16" >"$work/log" 2>&1
        local code=$?
        [ $code = 0 ] || [ $code = 124 ] || bad=1
        say "$tool: $([ $code = 0 ] && echo clean || { [ $code = 124 ] && echo "clean as far as it came in the time"; } || grep -m 1 '=========.*\(Error\|Race\|Invalid\)' "$work/log")"
    done
    return $bad
}

# bench_one CONFIG LENGTH: 32768 tokens a step, or one sequence.
bench_one() {
    local batch=$((32768 / $2))
    within 60 "$flame" bench --config "configs/$1.yaml" --device=cuda --training.seq_len="$2" --training.context_len="$2" \
        --training.batch_size=$((batch > 0 ? batch : 1)) --training.global_batch_size=null \
        --training.gradient_accumulation_steps=1 --steps 5 --json "$work/bench-$1-$2.json" >"$work/log" 2>&1 || {
        say "$1 at $2: $(grep error "$work/log" | tail -n 1)"
        return 1
    }
    cat "$work/log" >>"$work/details"
    say "$1 at $2: $(sed -n 's/^step  *//p' "$work/log")"
}

part_bench() {
    local bad=0 config length
    for config in gla-340M transformer-340M gla-swa-340M gated_deltanet-340M gla-1.3B; do bench_one $config 2048 || bad=1; done
    for length in 8192 32768 65536; do bench_one gla-340M $length || bad=1; done
    return $bad
}

part_compare() {
    python3 -c 'import torch, fla, yaml; assert torch.cuda.is_available()' 2>/dev/null || return 77
    local bad=0 config
    for config in gla-340M transformer-340M gated_deltanet-340M; do
        within 90 python3 "$here/tools/fla_step.py" "configs/$config.yaml" --length 2048 --batch 16 >"$work/log" 2>&1 || bad=1
        say "$config in fla: $(tail -n 1 "$work/log")"
    done
    return $bad
}

json_text() {
    tr -d '\000-\010\013\014\016-\037' | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/\t/ /g' | awk 'NR > 1 { printf "\\n" } { printf "%s", $0 }'
}

run_part() {
    local start=$SECONDS result
    : >"$work/sentence" && : >"$work/details" && : >"$work/log"
    if [ $SECONDS -ge $deadline ]; then
        result=skipped
        say "no time left"
    else
        "part_$1"
        case $? in
        0) result=good ;;
        77) result=skipped && say "what it needs is not installed" ;;
        *) result=BAD && failed=1 && say "$(grep 'error' "$work/log" | tail -n 1)" ;;
        esac
    fi
    printf '%-10s %-8s %4d s  %s\n' "$1" $result $((SECONDS - start)) "$(head -n 1 "$work/sentence")"
    tail -n +2 "$work/sentence" | sed 's/^/                          /'
    printf '%s{"part": "%s", "result": "%s", "seconds": %d, "says": "%s", "details": "%s"}' "$comma" "$1" $result \
        $((SECONDS - start)) "$(json_text <"$work/sentence")" "$(json_text <"$work/details")" >>"$report"
    comma=$',\n'
}

parts=("$@")
[ $# -gt 0 ] || parts=(ops golden curve resume ranks sanitizer bench compare)
for part in "${parts[@]}"; do
    [ "$(type -t "part_$part")" = function ] || { echo "there is no part $part; see the head of $0" >&2; exit 2; }
done
if ! "$flame" verify tests/golden/gla --device cuda --tolerance 1e9 >"$work/log" 2>&1; then
    cat "$work/log" >&2
    exit 1
fi
failed=0 comma=
device=$(grep '^device' "$work/log" | head -n 1)
printf '%s\n%s\n' "$device" "$("$flame" --version | head -n 1)"
printf '{"%s": "%s", "version": "%s", "parts": [\n' device "$(json_text <<<"$device")" "$("$flame" --version | head -n 1)" >"$report"
for part in "${parts[@]}"; do run_part "$part"; done
printf '\n]}\n' >>"$report"
echo "$report"
exit $failed
