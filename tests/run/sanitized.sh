#!/usr/bin/env bash
# The jobs of tests/sanitize.sh, with a program that was built with sanitizers; with another one they are a test of what it does.
source "$(dirname "$0")/common.sh"
# libgomp and MPI are not built with TSan, which therefore does not see how they order accesses: one thread for loops, and what
# MPI's own threads do is left out. Open MPI keeps memory until the end.
cat >"$work/races" <<'END_OF_LIST'
called_from_lib:libmpi.so
called_from_lib:libopen-pal.so
called_from_lib:libopen-rte.so
race:mca_
called_from_lib:libhdf5
END_OF_LIST
export TSAN_OPTIONS="log_path=$work/report suppressions=$work/races ignore_noninstrumented_modules=1 exitcode=0"
export ASAN_OPTIONS="log_path=$work/report detect_leaks=0" UBSAN_OPTIONS="log_path=$work/report print_stacktrace=1"
job() { # RANKS ARGUMENTS...
    ranks "$@" || { cat "$work/log"; cat "$work"/report* 2>/dev/null; fail "flame-c ${*:2}"; }
    cat "$work"/report* 2>/dev/null && fail "a report in: flame-c ${*:2}"
    return 0
}
make_config
make_bells $(seq 2 4 100)
sed -i 's/global_batch_size: 8/global_batch_size: 4/' "$work/config.yaml"
run=(--config "$work/config.yaml" --checkpoint.enable_checkpoint=true --checkpoint.async_mode=async --checkpoint.interval=4
    --checkpoint.keep_latest_k=2 --checkpoint.initial_load_path="$work/bell" --training.rewind_spikes=2 --training.skip_spikes=30
    --training.replay_every=7 --data.validation_files="$work/data.h5" --data.validation_interval=10 --data.validation_steps=2)
job 2 "${run[@]}" --training.steps=20
job 4 "${run[@]}" --training.steps=28 --training.data_parallel_replicate_degree=2 --training.check_replicas_every=2 \
    --training.mixed_precision_param=bfloat16
job 1 "${run[@]}" --training.steps=32 --data.threads=3
job 2 replay "$work/run" --step 30 --checkpoint.initial_load_path="$work/bell"
job 2 eval --checkpoint "$work/new" --data "$work/data.h5" --seq-len 64
job 2 generate --checkpoint "$work/run" --prompt 'static int ' --batch 3 --max-new-tokens 40
job 1 checkpoint verify "$work/run"
job 1 export --checkpoint "$work/run" --out "$work/exported"
job 1 import --from "$work/exported" --out "$work/imported"
# Stopped by a signal while it saves, and resumed.
stopped=("${run[@]}" --job.dump_folder="$work/stopped" --checkpoint.interval=1 --training.rewind_spikes=0 --checkpoint.initial_load_path="$work/new")
"$FLAME" "${stopped[@]}" --training.steps=100000 >"$work/log" 2>&1 &
job=$!
until [ "$(grep -c 'saved step' "$work/log")" -ge 5 ] || ! kill -0 $job 2>/dev/null; do sleep 0.05; done
kill -USR1 $job 2>/dev/null || true
wait $job || { cat "$work/log"; fail "stopping"; }
job 1 "${stopped[@]}" --training.steps=1
echo "train, resume on another mesh, go back, stop, replay, eval, generate, verify, export, import: no report"
