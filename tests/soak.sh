#!/usr/bin/env bash
# A run under random faults, on another number of ranks after each, equals the undisturbed one: every step once, every sample
# consumed exactly once, the same losses, and nothing is left behind. Ctrl-C finishes the present run, and counts.
#   tests/soak.sh [--minutes N | --kills N] [--steps N] [--seed N]      default: 60 minutes, 1000 steps
# FLAME names the program (default build/flame-c). Each start has a disk that is whole, full, read-only or slow, may have a rank that
# stands still for a moment, and ends at a random moment by SIGKILL for one rank, for all, or for mpirun, or by SIGUSR1, which saves
# and stops.
FLAME=${FLAME:-$(cd "$(dirname "$0")/.." && pwd)/build/flame-c}
source "$(dirname "$0")/run/common.sh"
source "$source_folder/launch/environment.sh"
trap 'code=$?; if [ $code = 0 ]; then rm -rf "$work"; else echo "the files are in $work"; fi' EXIT
minutes=60 kills=1000000 steps=1000 seed=1
while [ $# -gt 0 ]; do
    case $1 in
        --minutes) minutes=$2 ;;
        --kills) kills=$2 minutes=1000000 ;;
        --steps) steps=$2 ;;
        --seed) seed=$2 ;;
        -h | --help) awk 'NR > 1 { if (!sub(/^# ?/, "")) exit; print }' "$0"; exit 0 ;;
        *) echo "soak.sh: no option $1" >&2; exit 2 ;;
    esac
    [ $# -ge 2 ] && [[ $2 =~ ^[0-9]+$ ]] || { echo "soak.sh: $1 takes a number" >&2; exit 2; }
    shift 2
done
tools=${BUILD:-$(dirname "$FLAME")}/tests
program=$tools/flame-c-samples # flame-c, with a log of the samples
export OMPI_MCA_orte_tmpdir_base=$work/mpi # an mpirun that is killed leaves files there
mkdir "$work/mpi"
make_data
make_config
sed -i 's/hidden_size: 32/hidden_size: 64/; s/intermediate_size: 48/intermediate_size: 128/; s/lr: 3.0e-3/lr: 5.0e-4/' "$work/config.yaml"
settings=(--config "$work/config.yaml" --training.steps="$steps" --checkpoint.enable_checkpoint=true --checkpoint.keep_latest_k=2)
run=$work/soaked
trap 'kills=0' INT # ends after the current run
samples_per_step=8 tokens_per_step=512
optimizer_blocks=800 # of 1024 bytes: the metrics of 2000 steps fit, optimizer.safetensors does not
# Of the losses, relatively. Numbers of ranks add in another order: without any fault 2, 3 and 8 ranks differ from 1 by up to 1e-7 in
# 1000 steps (at the rate of learning above; at six times as much by 1e-3).
bound=1e-6
# Lists the folders with shared memory of Open MPI whose rank is dead, which no process has locked.
dead_memory() {
    for folder in $(find /dev/shm -maxdepth 1 -user "$(id -un)" -name 'flame-c-mpi-*' 2>/dev/null); do
        ! flock -n "$folder" true 2>/dev/null || echo "$folder"
    done
}

# check_samples: each of the run's samples was consumed once, with the tokens of the undisturbed run. What a start reads takes the
# place of what starts before it have read from the same step on.
check_samples() {
    for ((n = 1; n <= starts; n++)); do
        [ ! -e "$work/samples/$n" ] || sort -n "$work/samples/$n" | sed "s/^/$n /"
    done | awk -v checked=0 -v end=0 -v per_step=$samples_per_step -v samples=$((steps * samples_per_step)) '
        function refuse(what) { print what; refused = 1; exit 1 }
        FNR == NR { expected[$1] = $2; next }
        $1 != start {
            start = $1
            first = int($2 / per_step) * per_step
            for (; checked < first; checked++) if (!(checked in taken)) refuse("start " start ": sample " checked " was not consumed")
            if (first < checked) checked = first
            for (id = first; id < end; id++) delete taken[id]
        }
        $2 in taken { refuse("start " start ": sample " $2 " was read twice") }
        $3 != expected[$2] { refuse("start " start ": sample " $2 " has other tokens") }
        { taken[$2] = 1; if ($2 >= end) end = $2 + 1 }
        END {
            if (refused) exit 1
            for (id = 0; id < samples; id++) if (!(id in taken)) refuse("sample " id " was not consumed")
            if (end != samples) refuse("sample " end - 1 " is none of the run")
        }' "$work/samples-whole" -
}

# check_run: the finished run in $run has each step once, its samples, the losses of the undisturbed run, whole checkpoints
# and nothing else.
check_run() {
    losses "$run" >"$work/losses"
    awk '$1 != NR { exit 1 }' "$work/losses" || fail "metrics.jsonl lacks steps, or has some twice"
    [ "$(LC_ALL=C "$tools/event_steps" "$run"/tb/*)" = "$(seq -s ' ' "$steps") " ] || fail "TensorBoard lacks steps, or has some twice"
    sed -n 's/.*"step": *\([0-9]*\), "tokens": *\([0-9]*\).*"loss".*/\1 \2/p' "$run/metrics.jsonl" |
        awk -v n=$tokens_per_step '$2 != n * $1 { exit 1 }' || fail "tokens are counted wrong"
    check_samples || fail "samples were lost or consumed twice"
    same_within "$work/losses" "$work/losses-whole" $bound || fail "the losses are not those of the undisturbed run"
    "$FLAME" checkpoint verify "$run" >"$work/log" 2>&1 || { cat "$work/log"; fail "the checkpoints"; }
    find "$run" -name '*.tmp*' -o -name '*.damaged*' -o -name '*.rewound*' | grep . && fail "these files are left in the folder"
    [ ! -s "$run/.lock" ] || fail ".lock names a job: $(cat "$run/.lock")"
    rm -rf "$run" "$work/samples"
    starts=0
}

# start: goes on with the run in the background, on the next number of ranks and the disk $disk.
start() {
    local size replicas modes=(disabled async) limit=unlimited surroundings=()
    read -r size replicas <<<"${sizes[RANDOM % ${#sizes[@]}]}"
    [ $fault != none ] || size=2 replicas=1 # one rank alone does not begin MPI, which removes the memory of dead ranks
    case $disk in
        full) limit=$optimizer_blocks ;;
        read-only) surroundings=(LD_PRELOAD="$tools/libfaults.so" FAULT=30 FAULT_CALL=mkdir FAULT_PATH=/checkpoint/ FAULT_AFTER="$work/now") ;;
        slow) surroundings=(LD_PRELOAD="$tools/libfaults.so" FAULT=slow FAULT_CALL=fsync) ;;
    esac
    export OMPI_MCA_odls_base_sigkill_timeout=$((RANDOM % 2)) # seconds that mpirun gives ranks to end when one has died
    mkdir -p "$work/samples"
    surroundings+=(FLAME_SAMPLES="$work/samples/$((++starts))")
    mpirun --allow-run-as-root --oversubscribe --bind-to none -np "$size" bash -c 'ulimit -f "$0" && exec "$@"' $limit \
        env "${surroundings[@]}" "$program" "${settings[@]}" --training.data_parallel_replicate_degree="$replicas" \
        --checkpoint.interval=$((RANDOM % 60 + 3)) --checkpoint.async_mode="${modes[RANDOM % 2]}" --job.dump_folder="$run" \
        >"$work/log" 2>&1 &
    job=$!
    disown # bash is not to tell who was killed
}

# signal_rank NAME: to one of the ranks.
signal_rank() {
    local rank
    rank=$(pgrep -P "$job" | shuf -n 1) || true
    [ -n "$rank" ] && kill "-$1" "$rank" 2>/dev/null
}

pause() {
    signal_rank STOP || return 0
    sleep "0.$((RANDOM % 10))"
    pkill -CONT -f "job.dump_folder=$run" || true
}

# inject: ends the job as soon as it has ranks. Returns 1 if it had ended by itself.
inject() {
    while kill -0 "$job" 2>/dev/null; do
        case $fault in
            one-rank) signal_rank KILL && return ;;
            all-ranks) pkill -KILL -P "$job" && return ;;
            mpirun) kill -KILL "$job" && return ;;
            stop) pgrep -P "$job" >/dev/null && kill -USR1 "$job" && return ;; # before it has ranks mpirun loses it
        esac
        sleep 0.02
    done
    return 1
}

# await_end: until mpirun and all ranks have ended. Open MPI's mpirun can wait for ever for ranks that are dead.
await_end() {
    local awaited=$SECONDS
    for ((dead = 0; dead < 100; dead++)); do
        kill -0 "$job" 2>/dev/null || break
        ! ps -o stat= --ppid "$job" | grep -qv '^Z' || dead=0
        sleep 0.05
    done
    kill -KILL "$job" 2>/dev/null || true
    for ((tenth = 0; tenth < 200; tenth++)); do pgrep -f "job.dump_folder=$run" >/dev/null || break; sleep 0.05; done
    [ $((SECONDS - awaited)) -le $longest ] || longest=$((SECONDS - awaited))
    [ $tenth -lt 200 ] || fail "ranks are left 10 s after $fault: $(pgrep -af "job.dump_folder=$run")"
}

# finish: a start without faults, for what the last fault has kept from being saved.
finish() {
    local longest_fault=$longest left folder
    fault=none disk=whole
    left=$(dead_memory)
    start && await_end
    for folder in $left; do [ ! -e "$folder" ] || fail "this shared memory is left: $folder"; done
    longest=$longest_fault
    [ "$(losses "$run" | tail -n 1 | cut -d' ' -f1)" = "$steps" ] || { cat "$work/log"; fail "the last start did not finish the run"; }
    check_run
    finished=$((finished + 1))
}

echo "the undisturbed run, on 1 rank"
FLAME_SAMPLES=$work/samples-whole "$program" "${settings[@]}" --job.dump_folder="$work/whole" >"$work/log" 2>&1 ||
    { cat "$work/log"; fail "the undisturbed run"; }
losses "$work/whole" >"$work/losses-whole"

RANDOM=$seed
sizes=("1 1" "2 1" "3 1" "4 1" "8 1" "2 2" "4 2" "4 4") # ranks and replicas
disks=(whole whole whole full read-only slow)
ends=(one-rank one-rank all-ranks all-ranks mpirun mpirun stop)
declare -A injected=() met=()
killed=0 finished=0 starts=0 paused=0 unsaved=0 longest=0 begun=$SECONDS
while [ $((SECONDS - begun)) -lt $((60 * minutes)) ] && [ $killed -lt "$kills" ]; do
    fault=${ends[RANDOM % ${#ends[@]}]} disk=${disks[RANDOM % ${#disks[@]}]}
    rm -f "$work/now"
    start
    sleep "$((RANDOM % 2)).$((RANDOM % 5))"
    touch "$work/now" # a disk that was read-only from the beginning would end the job by itself
    sleep "0.$((RANDOM % 7))"
    if [ $((RANDOM % 6)) = 0 ]; then
        pause
        paused=$((paused + 1))
    fi
    if inject; then
        injected[$fault]=$((${injected[$fault]:-0} + 1))
        [ $fault = stop ] || killed=$((killed + 1))
    fi
    await_end
    # mpirun itself may crash when all ranks die at once: that is none of the ranks' faults.
    ! grep -E 'a bug in flame-c|damaged|exited on signal (4|6|7|8|11) |flame-c[^ ]*\(\+0x' "$work/log" || { cat "$work/log"; fail "after $fault, disk $disk"; }
    met[$disk]=$((${met[$disk]:-0} + 1)) unsaved=$((unsaved + $(grep -c 'was not saved' "$work/log" || true)))
    step=$(losses "$run" 2>/dev/null | tail -n 1 | cut -d' ' -f1) || true
    [ ! -t 1 ] || printf '\r%d kills, %d runs finished, step %s of %d ' $killed $finished "${step:-0}" "$steps"
    if [ "${step:-0}" = "$steps" ]; then
        finish
        echo "$killed kills, $finished runs finished after $((SECONDS - begun)) s"
    fi
done
finish
counts() { # NAME: of an array, "key count, ..."
    local -n counted=$1
    for key in "${!counted[@]}"; do printf '%s %d, ' "$key" "${counted[$key]}"; done | sed 's/, $//'
}
echo "$killed kills ($(counts injected)) on disks ($(counts met); $unsaved saves failed), $paused ranks that stood still, in $finished runs of $steps steps:"
echo "the job and its ranks had ended at most $longest s after a fault; each step once, every sample consumed once; no process, lock, folder or shared memory left"
