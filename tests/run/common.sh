# Shared by the tests that run whole programs. Needs FLAME (the program); creates a temporary folder and removes it.
set -euo pipefail
: "${FLAME:?the flame-c binary}"
source_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
export CUDA_VISIBLE_DEVICES= # these tests use the CPU, even if there is a GPU

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# skip REASON: ends a test that this machine cannot run; launch/test.sh shows the reason.
skip() {
    echo "skipped: $*"
    exit 77
}

# ranks N ARGUMENTS...: flame-c on N ranks, output to $work/log.
ranks() {
    local count=$1
    shift
    if [ "$count" = 1 ]; then
        "$FLAME" "$@" >"$work/log" 2>&1
    else
        mpirun --allow-run-as-root --oversubscribe --bind-to none -np "$count" "$FLAME" "$@" >"$work/log" 2>&1
    fi
}

# kill_ranks JOB WORDS: SIGKILL for the ranks that mpirun, process JOB, has started; returns when none is left. WORDS are in
# their command line.
kill_ranks() {
    pkill -KILL -P "$1" 2>/dev/null || true
    for ((tenth = 0; tenth < 100; tenth++)); do kill -0 "$1" 2>/dev/null && sleep 0.1; done
    kill -KILL "$1" 2>/dev/null || true # mpirun may hang when its ranks die while it starts them
    wait "$1" 2>/dev/null || true
    while pgrep -f -- "$2" >/dev/null; do sleep 0.1; done
}

# Sets MEMORY_CODE for faults/memory_limit.c. NVIDIA's runtime, if it is linked into the program, allocates memory before main and
# crashes if that fails. The program's own code is the longest run of functions between those of the runtime.
own_code() {
    MEMORY_CODE=$(nm "$FLAME" | LC_ALL=C sort | awk '
        $2 !~ /^[tT]$/ { next }
        $3 ~ /^libcudart/ { if (run > longest) { longest = run; own = first " " $1 }; run = 0; next }
        run++ == 0 { first = $1 }
        END { print own }')
    export MEMORY_CODE
}

make_data() {
    "$FLAME" data build --text "$source_folder/src" --out "$work/data.h5" >"$work/log" 2>&1 || { cat "$work/log"; fail "data build"; }
}

# A model of a few thousand parameters that has everything: GLA, a window layer, short convolutions, packed documents.
make_config() {
    cat >"$work/config.yaml" <<END
job: {dump_folder: $work/run}
model: {model_type: gla, hidden_size: 32, num_hidden_layers: 2, num_heads: 2, vocab_size: 320, intermediate_size: 48,
        use_short_conv: true, attn: {layers: [1], num_heads: 2, window_size: 16}}
optimizer: {lr: 3.0e-3}
lr_scheduler: {warmup_steps: 5}
training: {steps: 50, batch_size: 1, global_batch_size: 8, seq_len: 64, varlen: true, seed: 7}
data: {files: [$work/data.h5]}
metrics: {log_freq: 1}
checkpoint: {enable_checkpoint: false}
END
}

# losses FOLDER: "step loss" of every training line of its metrics.
losses() {
    sed -n 's/.*"step": *\([0-9]*\).*"loss": *\([-+.0-9e]*\).*/\1 \2/p' "$1/metrics.jsonl" | grep -v val_loss
}

# same_within FILE FILE BOUND: the second columns agree relatively, line by line, and there are as many.
same_within() {
    paste "$1" "$2" | awk -v bound="$3" '
        NF != 4 || $1 != $3 { print "line " NR ": " $0; bad = 1; exit }
        { d = $2 - $4; if (d < 0) d = -d; d /= ($4 < 0 ? -$4 : $4); if (d > worst) worst = d }
        END { if (bad || NR == 0 || worst > bound) { print "worst relative difference " worst; exit 1 } }'
}

# make_bells NUMBER...: data.h5 of 100 documents of digits, of which these (1 .. 100) end with the byte 7, and $work/bell, weights
# for make_config whose embedding of that byte is NaN: a sample with it has no finite loss.
make_bells() {
    rm -rf "$work/text" "$work/run" "$work/new" "$work/bell" "$work/data.h5"
    mkdir "$work/text"
    for i in $(seq 100); do seq "$i" $((i + 40)) >"$work/text/$i"; done
    for i in "$@"; do printf 'a bell: \a' >>"$work/text/$i"; done
    "$FLAME" data build --text "$work/text" --out "$work/data.h5" >"$work/log" 2>&1 || { cat "$work/log"; fail "data build"; }
    ranks 1 --config "$work/config.yaml" --job.dump_folder="$work/new" --checkpoint.enable_checkpoint=true --training.steps=0 ||
        { cat "$work/log"; fail "new weights"; }
    "$FLAME" export --checkpoint "$work/new" --out "$work/bell" --dtype float32 >"$work/log" 2>&1 || { cat "$work/log"; fail "export"; }
    local model=$work/bell/model.safetensors header begin
    header=$(od -An -t u8 -N 8 "$model")
    begin=$(head -c $((8 + header)) "$model" | tr -d ' \0' | sed 's/.*"model.embeddings.weight":{[^}]*"data_offsets":\[\([0-9]*\),.*/\1/')
    printf '\000\000\300\177' | dd of="$model" bs=1 seek=$((8 + header + begin + 7 * 32 * 4)) conv=notrunc 2>/dev/null # 32 values a row
}
