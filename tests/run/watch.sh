#!/usr/bin/env bash
# A rank that is dead, stopped or stuck, also rank 0 or a rank that saves, is named by the others with its last collective. The job
# ends, and no process is left.
source "$(dirname "$0")/common.sh"
make_data
make_config
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0
endless=(--config "$work/config.yaml" --training.steps=1000000 --checkpoint.enable_checkpoint=true --checkpoint.interval=1000000)
seconds() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(seconds)" 'BEGIN { printf "%.1f", b - a }'; }
has_logged() { [ -e "$work/$1/metrics.jsonl" ] && [ "$(grep -c '"loss"' "$work/$1/metrics.jsonl")" -ge 3 ]; }

# begin NAME RANKS ARGUMENTS...: a job in the background, output to $work/NAME.log, until it has taken three steps.
begin() {
    local name=$1 count=$2
    shift 2
    mpirun --allow-run-as-root --oversubscribe --bind-to none -np "$count" "$FLAME" "${endless[@]}" \
        --job.dump_folder="$work/$name" "$@" >"$work/$name.log" 2>&1 &
    job=$!
    until has_logged "$name"; do kill -0 $job || { cat "$work/$name.log"; fail "$name ended early"; }; sleep 0.1; done
}
# process NAME RANK: of that rank of the job.
process() {
    local pid
    for pid in $(pgrep -f -- "--job.dump_folder=$work/$1"); do
        grep -qz "^OMPI_COMM_WORLD_RANK=$2$" "/proc/$pid/environ" 2>/dev/null && echo "$pid" && return
    done
}
# shared_memory NAME: the files through which the ranks of the job exchange messages.
shared_memory() {
    local files
    files=$(sed -n 's|.* \(/dev/shm/flame-c-mpi-[^/]*/[a-z]*_segment[^ ]*\).*|\1|p' "/proc/$(process "$1" 1)/maps" | sort -u)
    [ -n "$files" ] || fail "$1: Open MPI's memory is not where it should be"
    printf '%s\n' "$files"
}
# ends NAME CODE REGEX: waits for the job, whose output has the line; then no rank is left.
ends() {
    local code=0 begun named
    begun=$(seconds)
    until grep -q 'error:' "$work/$1.log" || ! kill -0 $job 2>/dev/null; do sleep 0.05; done
    named=$(since "$begun")
    wait $job || code=$?
    while pgrep -f -- "--job.dump_folder=$work/$1" >/dev/null; do sleep 0.1; done
    [ "$code" = "$2" ] || { cat "$work/$1.log"; fail "$1: exit code $code, not $2"; }
    grep -qE "$3" "$work/$1.log" || { cat "$work/$1.log"; fail "$1: missing message: $3"; }
    [ "$(grep -c 'error:' "$work/$1.log")" = 1 ] || { cat "$work/$1.log"; fail "$1: said more than once"; }
    echo "$1: named after $named s, the job ended after $(since "$begun") s"
}
last='its last collective was the [a-z]+'

begin dead 3
dead=$(process dead 1)
kill -KILL "$dead"
ends dead 137 "rank [02]\] rank 1 \(process $dead\) has died while [a-z ]+; $last"

begin dead-zero 3
dead=$(process dead-zero 0)
kill -SEGV "$dead"
ends dead-zero 139 "rank [12]\] rank 0 \(process $dead\) has died while [a-z ]+; $last"

for rank in 0 2; do
    begin stopped-$rank 3 --comm.train_timeout_seconds=7
    stopped=$(process stopped-$rank $rank)
    kill -STOP "$stopped"
    ends stopped-$rank 5 "no progress for 7 s: rank $rank \(process $stopped\) is stopped or gets no processor while [a-z ]+; $last"
done

# A file system that does not answer: rank 0 while it saves, rank 1 while it reads data.
stuck() { # NAME CALL RANK ARGUMENTS...
    export FAULT=hang FAULT_CALL=$2 FAULT_RANK=$3 FAULT_AFTER=$work/$1.now LD_PRELOAD=$FAULTS
    begin "$1" 3 --comm.train_timeout_seconds=3 "${@:4}"
    unset LD_PRELOAD
    stuck=$(process "$1" "$3")
    touch "$FAULT_AFTER"
}
stuck saving fsync 0 --checkpoint.interval=5
ends saving 5 "no progress for 3 s: rank 0 \(process $stuck\) is missing: it is saving a checkpoint; its last collective was the [-.a-z0-9 ]+; ranks 1-2 wait in the [-.a-z0-9 ]+\."
stuck reading pread 1
ends reading 5 "no progress for 3 s: rank 1 \(process $stuck\) is missing: it is reading data; its last collective was the [-.a-z0-9 ]+; ranks 0, 2 wait in the [-.a-z0-9 ]+\."

# A job that ends by itself leaves none either, and Open MPI does not miss it.
begin ended 3
mapped=$(shared_memory ended)
kill -USR1 $job
wait $job || { cat "$work/ended.log"; fail "ended: exit code $?"; }
grep -q 'unlink' "$work/ended.log" && { cat "$work/ended.log"; fail "ended: Open MPI complains"; }
for file in $mapped; do [ ! -e "$file" ] || fail "ended: $file is left"; done

# mpirun killed: the ranks end, and no shared memory is left.
begin killed 3
mapped=$(shared_memory killed)
kill -KILL $job
wait $job 2>/dev/null || true
while pgrep -f -- "--job.dump_folder=$work/killed" >/dev/null; do sleep 0.1; done
for file in $mapped; do [ ! -e "$file" ] || fail "killed: $file is left"; done
echo "killed: none of $(wc -w <<<"$mapped") files of shared memory is left"

# A job that is killed while MPI starts, before the names are removed: the next start removes them, but none of a living job.
FAULT=hang FAULT_CALL=open FAULT_RANK=1 FAULT_PATH=/fd/ FAULT_BEGUN=$work/meeting LD_PRELOAD=$FAULTS \
    mpirun --allow-run-as-root --oversubscribe --bind-to none -np 2 "$FLAME" "${endless[@]}" --job.dump_folder="$work/starting" \
    >"$work/starting.log" 2>&1 &
job=$!
until [ -e "$work/meeting" ]; do kill -0 $job || { cat "$work/starting.log"; fail "starting ended early"; }; sleep 0.1; done
mapped=$(shared_memory starting)
next() { ranks 2 --config "$work/config.yaml" --training.steps=1 --job.dump_folder="$work/next" || { cat "$work/log"; fail "beside a job that starts"; }; }
next
for file in $mapped; do [ -e "$file" ] || fail "starting: another start has removed $file"; done
kill -KILL $job
pkill -KILL -f -- "--job.dump_folder=$work/starting" || true
wait $job 2>/dev/null || true
while pgrep -f -- "--job.dump_folder=$work/starting" >/dev/null; do sleep 0.1; done
for file in $mapped; do [ -e "$file" ] || fail "starting: nothing was left to remove"; done
next
for file in $mapped; do [ ! -e "$(dirname "$file")" ] || fail "starting: $file is left"; done
echo "starting: $(wc -w <<<"$mapped") files of shared memory left, the next start removed them"

# A rank that is only slow is named, and the job goes on when it does.
begin slow 3
slow=$(process slow 1)
kill -STOP "$slow"
begun=$(seconds)
until grep -qE "warning: \[rank [02]\] no progress for 2[0-9] s: rank 1 \(process $slow\) is stopped or gets no processor while [a-z ]+; $last" "$work/slow.log"; do
    kill -0 $job || { cat "$work/slow.log"; fail "slow: the job ended"; }
    sleep 0.1
done
named=$(since "$begun")
kill -CONT "$slow"
lines=$(wc -l <"$work/slow/metrics.jsonl")
until [ "$(wc -l <"$work/slow/metrics.jsonl")" -gt "$lines" ]; do sleep 0.1; done
kill -USR1 $job
wait $job || { cat "$work/slow.log"; fail "slow: exit code $?"; }
[ "$(grep -c 'warning:' "$work/slow.log")" = 1 ] || { cat "$work/slow.log"; fail "slow: warned more than once"; }
echo "slow: named after $named s"
