#!/usr/bin/env bash
# Checks that flame-c computes on this machine's GPU what it computes elsewhere, and how fast. Works in the repository after a
# build with CUDA, and in a bundle (launch/bundle.sh). Prints a table, and writes it with all details to gpu-check.txt and
# gpu-check.json. Exit code 0: every part that ran is good; 1: one is not; 2: wrong arguments.
#   launch/gpu-check.sh [--seconds 530] [PART...]        default: all
#     ops        every op against its definition, on the GPU
#     golden     flame-c verify on all reference cases, fp32 and bf16
#     curve      200 training steps, compared with the same steps on the CPU
#     resume     a resumed run equals the uninterrupted one bit for bit
#     ranks      two and four NCCL ranks, also as two replicas of two, compared with one rank (on one GPU if there is only one)
#     sanitizer  compute-sanitizer's memcheck and racecheck on the ops, if it is installed
#     bench      times every op and the training step, for several models and lengths
#     compare    times the same models and ops in fla and PyTorch, if they are installed (PYTHON: python3)
# No part takes time from those after it: what is not done at a part's end is stopped and reported. Time that a part leaves over
# goes to the next.

# shellcheck disable=SC2317 # parts are called by their names
set -uo pipefail
case " $* " in *" -h "* | *" --help "*) awk 'NR > 1 { if (!sub(/^# ?/, "")) exit; print }' "$0"; exit 0 ;; esac
all_parts=(ops golden curve resume ranks sanitizer bench compare)
declare -A share=([ops]=50 [golden]=45 [curve]=60 [resume]=25 [ranks]=60 [sanitizer]=50 [bench]=130 [compare]=110) # of 530 s

usage() {
    "$0" --help >&2
    exit 2
}

seconds=530 parts=()
while [ $# -gt 0 ]; do
    case $1 in
        --seconds) [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || usage; seconds=$2; shift ;;
        *) [ -n "${share[$1]:-}" ] || usage; parts+=("$1") ;;
    esac
    shift
done
[ ${#parts[@]} -gt 0 ] || parts=("${all_parts[@]}")

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
programs=$here
[ -x "$here/flame-c" ] || programs=$here/build
flame=$programs/flame-c
ops=$programs/test_ops
mpirun=$programs/mpirun
[ -x "$ops" ] || ops=$programs/tests/test_ops
[ -x "$mpirun" ] || mpirun=mpirun
python=${PYTHON:-python3}
report=$PWD/gpu-check.json
table=$PWD/gpu-check.txt
work=$(mktemp -d)
warming='' # the process that fills fla's caches while other parts run
trap '[ -z "$warming" ] || kill -- -"$warming" 2>/dev/null; rm -rf "$work"' EXIT
cd "$here" || exit 2
cores=$(nproc)
jobs=$((cores > 16 ? 8 : cores > 1 ? cores / 2 : 1)) # jobs at the same time on the GPU, of one or two threads each
export OMP_WAIT_POLICY=passive

# Folders with cuBLASLt and NCCL where the loader does not look: the toolkit's, and those that come with PyTorch.
library_folders() {
    local folder
    for folder in /usr/local/cuda/lib64 /usr/local/cuda*/targets/*/lib /usr/local/nvidia/lib64 \
        "$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' 2>/dev/null)"/nvidia/*/lib; do
        [ -z "$(ls "$folder"/lib{cublasLt,nccl,cuda}.so.* 2>/dev/null)" ] || printf ':%s' "$folder"
    done
}
their_libraries=${LD_LIBRARY_PATH:-} # Python's packages bring their own
LD_LIBRARY_PATH=$their_libraries$(library_folders)
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH#:}

show() {
    tee -a "$table"
}

# within SECONDS COMMAND...: runs a command for at most that long, and no longer than the part has. Exit code 124: it was stopped.
within() {
    local start=$SECONDS limit=$((part_end - SECONDS)) code=0
    [ "$limit" -le "$1" ] || limit=$1
    [ "$limit" -gt 0 ] || return 124
    timeout -k 3 "$limit" "${@:2}" || code=$?
    [ $((SECONDS - start)) -lt "$limit" ] || [ $code = 0 ] || code=124 # also where it had to be killed
    return $code
}

# Adds a sentence about the part to the table. The first one stands on the part's line.
say() {
    echo "$*" >>"$work/sentences"
}

# tell FILE CODE: says why a program failed, in its own words.
tell() {
    local words
    words=$(grep -ahE 'error|Error|ERROR' "$1" | tail -n 1)
    [ "$2" != 124 ] || words="stopped, too slow. $words"
    [ -n "$words" ] || words="exit code $2: $(tail -n 1 "$1")"
    say "$words"
    { echo "exit code $2"; tail -n 40 "$1"; } >>"$work/details"
}

# How many GPUs flame-c sees. nvidia-smi also lists those that CUDA_VISIBLE_DEVICES hides, and counts a MIG GPU as one.
gpus() {
    sed -n 's/.* number [0-9]* of \([0-9]*\),.*/\1/p' <<<"$device"
}

gpus_in_words() {
    [ "$(gpus)" = 1 ] && echo "one GPU" || echo "$(gpus) GPUs"
}

# each FOLDER FUNCTION: calls the function with the arguments of each line of stdin, several at once. Its output goes to
# FOLDER/ARGUMENTS, joined by dots, and its exit code to the same name with .code, which is missing if there was no time.
each() {
    mkdir -p "$1"
    export -f "${2?}"
    # shellcheck disable=SC2016 # the inner shell expands
    OMP_NUM_THREADS=2 within "$seconds" xargs -P "$jobs" -L 1 bash -c '
        name=$(IFS=.; echo "${*:3}")
        "$2" "${@:3}" >"$1/$name" 2>&1
        echo $? >"$1/$name.code"' - "$1" "$2" 2>/dev/null
}

code_of() {
    cat "$1.code" 2>/dev/null || echo 124
}

op_names() {
    sed -n 's/^OP_TEST(\(.*\))/\1/p' tests/ops/op_tests.def
}

test_op() {
    "$ops" "$1" "cuda bf16"
}

part_ops() {
    local name code good=0 wrong=()
    op_names | each "$work/ops" test_op
    for name in $(op_names); do
        code=$(code_of "$work/ops/$name")
        if [ "$code" = 0 ]; then good=$((good + 1)); else wrong+=("$name"); fi
    done
    say "$good of $(op_names | wc -l) ops agree${wrong[*]:+; not: ${wrong[*]}}"
    for name in "${wrong[@]}"; do
        code=$(code_of "$work/ops/$name")
        [ -e "$work/ops/$name" ] || { say "$name: not begun, no time left"; continue; }
        say "$name: $([ "$code" = 124 ] && echo "stopped, " || echo "exit code $code, ")$(grep -ac ' bound ' "$work/ops/$name") values off; $(grep -am 1 -E ' bound |error' "$work/ops/$name")"
        { echo "$name"; head -c 4000 "$work/ops/$name"; } >>"$work/details"
    done
    printf '%s\n' "${wrong[@]}" >"$work/bad_ops"
    [ ${#wrong[@]} = 0 ] && [ "$good" -gt 0 ]
}

verify_case() {
    "$flame" verify "tests/golden/$1" --device "$2" --dtype "$3" --tolerance 1e9
}

# The worst error of a case, over all tensors.
worst_of() {
    sed -n 's/^verify: .* worst .* \(.*\)/\1/p' "$work/golden/$1.$2.$3" 2>/dev/null | grep '^[0-9]' || echo none
}

# How far from the reference a case is in bf16, as multiples of the CPU's distance: the geometric mean over the tensors, the
# largest, and its tensor. A tensor of a few values can be exact on the CPU by luck, so the largest is of the mean error of all
# tensors if that is more.
excess_of() {
    awk 'FNR == NR { if (/^(logits|grad)/) { cpu[$1] = $2; sum += $2; tensors++ } next }
         $1 in cpu { count++; usual = sum / tensors; error = $2 ~ /^[0-9]/ ? $2 + 0 : 1e9
                     if (error > 0) logs += log(error / (cpu[$1] > 0 ? cpu[$1] : usual))
                     ratio = error / (cpu[$1] > usual ? cpu[$1] : usual)
                     if (ratio > worst) { worst = ratio; name = $1 " " $2 " on the CPU " cpu[$1] } }
         END { if (count) print exp(logs / count), worst, name; else print "none" }' "$work/golden/$1.cpu.bfloat16" "$work/golden/$1.cuda.bfloat16" 2>/dev/null || echo none
}

# excess_is_good MEAN LARGEST
excess_is_good() {
    awk -v mean="$1" -v largest="$2" 'BEGIN { exit !(mean ~ /^[0-9]/ && mean <= 2.5 && largest ~ /^[0-9]/ && largest <= 10) }'
}

# In fp32 the numbers must be the reference's. Errors in bf16 depend on which way numbers happen to be rounded: if the weights of a
# case change by 3e-5, the CPU's own errors change by up to 2.0 times as the mean over the tensors, and 7.4 times in a single tensor.
part_golden() {
    local case cases dtype mean largest where verdict
    cases=$(cd tests/golden && dirname -- */io.safetensors)
    for case in $cases; do printf '%s\n' "$case cuda float32" "$case cuda bfloat16" "$case cpu bfloat16"; done |
        each "$work/golden" verify_case
    for case in $cases; do
        read -r mean largest where <<<"$(excess_of "$case")"
        verdict="WRONG: $where"
        awk -v error="$(worst_of "$case" cuda float32)" 'BEGIN { exit !(error ~ /^[0-9]/ && error <= 1e-3) }' &&
            excess_is_good "$mean" "$largest" && verdict=''
        printf '%-28s fp32 %-9s bf16 %-9s, of the error on the CPU %s, in one tensor at most %s %s\n' "$case" \
            "$(worst_of "$case" cuda float32)" "$(worst_of "$case" cuda bfloat16)" "$mean" "${largest:-none}" "$verdict"
    done >"$work/verdicts"
    cat "$work/verdicts" >>"$work/details"
    say "$(grep -vc 'WRONG' "$work/verdicts") of $(wc -l <"$work/verdicts") cases agree in fp32 and bf16; worst in fp32: $(awk '{ print $3 }' "$work/verdicts" | sort -g | tail -n 1)"
    grep 'WRONG' "$work/verdicts" >>"$work/sentences" || return 0
    for case in $cases; do
        for dtype in float32 bfloat16; do
            [ "$(code_of "$work/golden/$case.cuda.$dtype")" = 0 ] || [ ! -e "$work/golden/$case.cuda.$dtype.code" ] || say "$case, $dtype: $(grep -ahE 'error|nan' "$work/golden/$case.cuda.$dtype" 2>/dev/null | head -n 1)"
        done
    done
    return 1
}

# in_time COMMAND...: runs a command of a part. Exit code 124: there was too little time; 1: any other failure.
in_time() {
    local code=0
    within 120 "$@" >"$work/log" 2>&1 || code=$?
    [ "$code" = 0 ] || tell "$work/log" "$code"
    [ "$code" = 0 ] || [ "$code" = 124 ] || code=1
    return "$code"
}

make_run() {
    [ ! -e "$work/config.yaml" ] || return 0
    mkdir -p "$work/text"
    seq 1 60000 | awk '{ print $1, $1 * $1, "is the square of", $1 }' >"$work/text/squares.txt"
    in_time "$flame" data build --text "$work/text" --out "$work/data.h5" || return
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

# train FOLDER DEVICE ARGUMENTS...
train() {
    in_time "$flame" --config "$work/config.yaml" --device="$2" --job.dump_folder="$work/$1" "${@:3}"
}

losses() {
    sed -n 's/.*"step": *\([0-9]*\).*"loss": *\([-+.0-9e]*\).*/\1 \2/p' "$work/$1/metrics.jsonl" 2>/dev/null
}

# distance FOLDER FOLDER BOUND: prints the mean relative difference of the losses. Fails if it is above BOUND, or without losses.
distance() {
    paste <(losses "$1") <(losses "$2") | awk -v bound="$3" '
        NF == 4 && $1 == $3 { d = $2 - $4; sum += (d < 0 ? -d : d) / $4; n++; a = $2; b = $4 }
        END { printf "mean distance %.2e (at most %g) over %d steps, last losses %.4f and %.4f", n ? sum / n : 1, bound, n, a, b
              exit !(n && sum / n <= bound) }'
}

# 512 tokens per step, so that one thread at 4,000 tokens/s takes half of the part's time.
part_curve() {
    local words code=0 on=(--training.seq_len=256 --training.batch_size=2 --training.global_batch_size=2)
    make_run && train curve-gpu cuda "${on[@]}" --training.mixed_precision_param=bfloat16 &&
        train curve-cpu cpu "${on[@]}" --training.mixed_precision_param=float32 || return
    words=$(distance curve-gpu curve-cpu 0.02) || code=1
    say "200 steps, bf16 on the GPU and fp32 on the CPU: $words"
    paste <(losses curve-gpu) <(losses curve-cpu) | awk 'NR % 20 == 1 || NR == 200 { print "step", $1, "gpu", $2, "cpu", $4 }' >>"$work/details"
    return "$code"
}

part_resume() {
    local on=(--training.steps=20 --checkpoint.enable_checkpoint=true --checkpoint.interval=10) a b
    make_run && train whole cuda "${on[@]}" || return
    cp -r "$work/whole" "$work/again" && rm -rf "$work/again/checkpoint/step-00000020"
    train again cuda "${on[@]}" || return
    a=$(cat "$work"/whole/checkpoint/step-00000020/*.safetensors | sha256sum)
    b=$(cat "$work"/again/checkpoint/step-00000020/*.safetensors | sha256sum)
    say "20 steps, and 10 with 10 more: weights and moments $([ "$a" = "$b" ] && echo "equal bit for bit" || echo DIFFER), losses: $(distance again whole 0)"
    [ "$a" = "$b" ]
}

# ranks_run COUNT WAY WORDS ARGUMENTS...: runs COUNT ranks. WAY is how ranks with the same GPU send (nccl, mpi), or none.
ranks_run() {
    local name=ranks-$1-$2-$# code=0 how=() words
    [ "$2" = none ] || how=(--comm.share_gpu="$2")
    OMP_NUM_THREADS=$((cores > $1 ? cores / $1 : 1)) within 60 env NCCL_DEBUG="${NCCL_DEBUG:-WARN}" "$mpirun" --allow-run-as-root --oversubscribe --bind-to none \
        -np "$1" "$flame" --config "$work/config.yaml" "${ranks_on[@]}" --job.dump_folder="$work/$name" --training.batch_size=1 --comm.train_timeout_seconds=25 "${how[@]}" "${@:4}" >"$work/log" 2>&1 || code=$?
    if [ "$code" != 0 ]; then
        say "$1 ranks, $3: failed"
        tell "$work/log" "$code"
        return 1
    fi
    words=$(distance "$name" ranks-1 1e-3) || code=1
    say "$1 ranks, $3: $words"
    return "$code"
}

part_ranks() {
    local count way words mesh=--training.data_parallel_replicate_degree=2 first=${CUDA_VISIBLE_DEVICES:-0} bad=0
    ranks_on=(--device=cuda --training.steps=20 --training.mixed_precision_param=float32)
    make_run && train ranks-1 cuda "${ranks_on[@]}" || return
    for count in 2 4; do
        if [ "$(gpus)" -ge "$count" ]; then way=none words="a GPU each"; else way=nccl words="$(gpus_in_words), NCCL"; fi
        ranks_run "$count" $way "$words" || bad=1
    done
    ranks_run 4 $way "$words, 2 replicas" $mesh || bad=1
    # Two GPUs would use NCCL.
    CUDA_VISIBLE_DEVICES=${first%%,*} ranks_run 2 mpi "one GPU, through the host" || bad=1
    return "$bad"
}

check_op() {
    "$sanitizer" --target-processes all --print-limit 5 --tool "$1" "$ops" "$2" "cuda bf16"
}

part_sanitizer() {
    local tool name log clean open bad=0
    sanitizer=$(PATH=$PATH:/usr/local/cuda/bin command -v compute-sanitizer)
    [ -n "$sanitizer" ] || { say "compute-sanitizer is not installed"; return 77; }
    export sanitizer
    export -f check_op
    within 20 bash -c 'check_op "$@"' - memcheck "$(op_names | head -n 1)" >"$work/log" 2>&1
    if grep -q 'not supported' "$work/log"; then
        say "compute-sanitizer does not work here: $(grep -m 1 'not supported' "$work/log")"
        return 77
    fi
    { cat "$work/bad_ops" 2>/dev/null; op_names; } | awk 'NF && !seen[$0]++ { print "memcheck", $0; print "racecheck", $0 }' |
        each "$work/sanitizer" check_op
    for tool in memcheck racecheck; do
        clean=0 open=0
        for name in $(op_names); do
            log=$work/sanitizer/$tool.$name
            if grep -qsE 'SUMMARY: [1-9]' "$log"; then
                say "$tool, $name: $(grep -a '=========' "$log" | grep -aE 'Invalid|Error|Race|hazard|Misaligned|leaked' | head -n 1)"
                { echo "$tool $name"; grep -a '=========' "$log" | head -n 40; } >>"$work/details"
                bad=1
            elif grep -qsE 'SUMMARY: 0' "$log"; then
                clean=$((clean + 1))
            elif [ -e "$log.code" ]; then
                say "$tool, $name: it gave no answer: $(tail -n 1 "$log")"
                bad=1
            else
                open=$((open + 1))
            fi
        done
        say "$tool: $clean of $(op_names | wc -l) ops clean$([ "$open" = 0 ] || echo ", no time for $open")"
        [ "$clean" -gt 0 ] || bad=1
    done
    return "$bad"
}

# figure FILE KEY: prints a number from a JSON file that flame-c bench wrote.
figure() {
    sed -n "s/^ *\"$2\": *\([-+.0-9e]*\),*\$/\1/p" "$1" | head -n 1
}

# estimated NAME CONFIG LENGTH: prints the milliseconds of a step that kernel_table estimates (docs/cuda.md), for length 2048 only.
estimated() {
    { [ "$1 $3" = "$2 2048" ] && sed -n 's/.*"step_ms": *\([0-9.]*\).*/\1/p' "docs/gpu/estimates/$2.json" 2>/dev/null | grep .; } || echo -
}

timed_tokens=32768 long_sequences=(8192 32768 65536)

# bench_one NAME CONFIG LENGTH ARGUMENTS...: times steps of timed_tokens, or of one longer sequence. Adds to `undone` what there is
# no time for.
bench_one() {
    local name=$1 batch=$((timed_tokens / $3)) code=0 file=$work/bench-$1.json
    [ "$SECONDS" -lt $((part_end - 2)) ] || { undone+=("$name"); return 0; }
    within 45 "$flame" bench --config "configs/$2.yaml" --device=cuda --training.seq_len="$3" --training.context_len="$3" \
        --training.mixed_precision_param=bfloat16 --training.batch_size=$((batch > 0 ? batch : 1)) --training.global_batch_size=null \
        --training.gradient_accumulation_steps=1 --steps 5 --json "$file" "${@:4}" >"$work/log" 2>&1 || code=$?
    if [ "$code" = 124 ] && [ "$SECONDS" -ge "$part_end" ]; then
        undone+=("$name")
        return 0
    elif [ "$code" != 0 ]; then
        say "$name: failed"
        tell "$work/log" "$code"
        return 1
    fi
    { echo; echo "$name"; cat "$work/log"; } >>"$work/details"
    printf '%s"%s": %s' "$([ ! -s "$work/data" ] || echo ,)" "$name" "$(cat "$file")" >>"$work/data"
    say "$(printf '%-34s %9.1f %9.9s %11.0f %9.1f %7.1f %9.1f %7.1f' "$name" \
        "$(awk -v s="$(figure "$file" step_seconds)" 'BEGIN { print 1e3 * s }')" "$(estimated "$@")" "$(figure "$file" tokens_per_second)" \
        "$(awk -v g="$(figure "$file" step_gflops)" 'BEGIN { print g / 1e3 }')" \
        "$(awk -v p="$(figure "$file" step_of_peak)" 'BEGIN { print 100 * p }')" \
        "$(awk -v m="$(figure "$file" device_memory_bytes)" 'BEGIN { print m / 1e9 }')" "$(figure "$file" first_step_seconds)")"
}

part_bench() {
    local bad=0 length summary undone=() main=$work/bench-gla-340M.json
    stop_warming
    say "$(printf '%-34s %9s %9s %11s %9s %7s %9s %7s' "" ms/step estimate tokens/s TFLOP/s MFU GB start/s)"
    bench_one gla-340M gla-340M 2048 || bad=1
    bench_one gla-340M-no-graph gla-340M 2048 --training.cuda_graph=false || bad=1
    bench_one gla-swa-340M gla-swa-340M 2048 || bad=1
    bench_one transformer-340M transformer-340M 2048 || bad=1
    bench_one gated_deltanet-340M gated_deltanet-340M 2048 || bad=1
    bench_one gla-1.3B gla-1.3B 2048 || bad=1
    bench_one gla-340M-cpu-offload gla-340M 2048 --training.enable_cpu_offload=true || bad=1
    for length in "${long_sequences[@]}"; do
        bench_one gla-340M-"$length" gla-340M "$length" || bad=1
        bench_one gla-swa-340M-"$length" gla-swa-340M "$length" || bad=1
        bench_one transformer-340M-"$length" transformer-340M "$length" || bad=1
    done
    bench_one gated_deltanet-swa-340M gated_deltanet-swa-340M 4096 || bad=1
    bench_one mamba2-340M mamba2-340M 2048 || bad=1
    [ ${#undone[@]} = 0 ] || say "no time for ${undone[*]}"
    summary=$(find "$work" -name 'bench-*.json' | wc -l)" timed"
    [ ! -e "$main" ] || summary+="; MFU is of the product rate measured in each run, at gla-340M $(figure "$main" product_gflops |
        awk '{ printf "%.1f", $1 / 1e3 }') TFLOP/s; memory moves $(figure "$main" memory_gbytes_per_second | cut -d. -f1) GB/s"
    sed -i "1i $summary" "$work/sentences"
    [ "$bad" != 0 ] || [ ${#undone[@]} = 0 ] || return 124
    return "$bad"
}

compared=(gla-340M gla-swa-340M transformer-340M gated_deltanet-340M)

fla_step() {
    local configs=("${compared[@]/#/configs/}")
    LD_LIBRARY_PATH=$their_libraries "$python" tools/fla_step.py --length 2048 --tokens $timed_tokens "$@" "${configs[@]/%/.yaml}"
}

# Triton and inductor keep what they have compiled in files. So this runs them on a few tokens while other parts run, and `compare`
# then finds the files. Not done if only one process may use the GPU.
start_warming() {
    [[ " ${parts[*]} " == *" compare "* ]] && [ ${#parts[@]} -gt 1 ] || return 0
    [ "$(nvidia-smi --query-gpu=compute_mode --format=csv,noheader 2>/dev/null | head -n 1)" = Default ] || return 0
    set -m
    fla_step --warm-up >"$work/warming" 2>&1 &
    warming=$!
    set +m
}

stop_warming() {
    [ -n "$warming" ] || return 0
    kill -- -"$warming" 2>/dev/null
    wait "$warming" 2>/dev/null
    warming=''
}

part_compare() {
    local name left code=0 undone=()
    stop_warming
    command -v "$python" >/dev/null || { say "there is no $python"; return 77; }
    for name in "${compared[@]}"; do
        [ -e "$work/bench-$name.json" ] || bench_one "$name" "$name" 2048
    done
    left=$((part_end - SECONDS - 8))
    [ "$left" -gt 10 ] || { say "no time left"; return 77; }
    : >"$work/sentences"
    fla_step --seconds "$left" --ours "$work" --json "$work/compare.json" >"$work/table" 2>"$work/log" || code=$?
    cat "$work/table" >>"$work/sentences"
    [ ! -s "$work/compare.json" ] || printf '"fla": %s' "$(cat "$work/compare.json")" >"$work/data"
    [ "$code" = 0 ] || [ "$code" = 77 ] || tell "$work/log" "$code"
    return "$code"
}

json_text() {
    LC_ALL=C tr -cd '\012\040-\176' | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' |
        awk 'NR > 1 { printf "\\n" } { printf "%s", $0 }'
}

# Writes what is known so far. Called after every part, so the files are complete at any time.
write_report() {
    {
        printf '{"device": "%s", "driver": "%s", "version": "%s", "machine": "%s", "seconds": %d, "parts": [\n' \
            "$(json_text <<<"$device")" "$(json_text <<<"$driver")" "$(json_text <<<"$version")" "$(json_text <<<"$machine")" \
            "$SECONDS"
        cat "$work/parts"
        printf '\n]}\n'
    } >"$report"
}

run_part() {
    local start=$SECONDS code=0 result words
    : >"$work/sentences" && : >"$work/details" && : >"$work/log" && : >"$work/data"
    "part_$1" || code=$?
    case $code in
        0) result=good ;;
        77) result=skipped ;;
        124) result="cut off" ;;
        *) result=FAILED failed=1 ;;
    esac
    [ "$SECONDS" -lt "$part_end" ] || say "cut off: the part had $((SECONDS - start)) s"
    words=$(head -n 1 "$work/sentences")
    [ "$result" != skipped ] || words="skipped: $words"
    {
        printf '%-10s %-8s %4d s  %s\n' "$1" "$result" $((SECONDS - start)) "$words"
        tail -n +2 "$work/sentences" | sed 's/^/                          /'
    } | show
    sed 's/^/    /' "$work/details" >>"$table"
    printf '%s{"part": "%s", "result": "%s", "seconds": %d, "says": "%s", "details": "%s", "data": {%s}}' "$comma" "$1" "$result" \
        $((SECONDS - start)) "$(json_text <"$work/sentences")" "$(json_text <"$work/details")" "$(cat "$work/data")" >>"$work/parts"
    comma=$',\n'
    write_report
}

# Each part ends early enough to leave the parts after it their time.
end_of_part() {
    local end=$seconds i
    for ((i = $1 + 1; i < ${#parts[@]}; i++)); do end=$((end - share[${parts[i]}] * seconds / 530)); done
    echo "$end"
}

# Prints the versions of the driver and of the build first, before anything can go wrong with them.
say_driver() {
    local driver
    driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1)
    [ -n "$driver" ] || driver=$(cat /sys/module/nvidia/version 2>/dev/null)
    echo "driver ${driver:-unknown (no nvidia-smi)}; this build: $("$flame" --version 2>&1 | grep CUDA | head -n 1)"
}

export flame ops
failed=0 comma='' part_end=$seconds
: >"$table" && : >"$work/parts"
driver=$(say_driver)
echo "$driver" | show
version=$("$flame" --version 2>&1 | head -n 1)
[ ! -e version ] || version="$version, $(cat version)"
machine="$cores cores, $(nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,power.limit --format=csv,noheader 2>/dev/null | head -n 1)"
within 60 "$flame" verify tests/golden/gla --device cuda --tolerance 1e9 >"$work/log" 2>&1
code=$?
device=$(grep '^device' "$work/log" | head -n 1)
if [ -z "$device" ]; then # whatever else is wrong, the parts will say it one by one
    device="no GPU: exit code $code, $(tail -n 1 "$work/log")"
    write_report
    { echo "$version"; cat "$work/log"; } | show >&2
    exit 1
fi
printf '%s\n%s; %s\n' "$device" "$version" "$machine" | show
start_warming
for i in "${!parts[@]}"; do
    part_end=$(end_of_part "$i")
    run_part "${parts[i]}"
done
printf '%s after %d s: %s, %s\n' "$([ $failed = 0 ] && echo good || echo "NOT GOOD")" $SECONDS "$table" "$report" | show
exit $failed
