#!/usr/bin/env bash
# Starts a job again whenever it has crashed, until it is done. The job resumes from its newest checkpoint.
#   launch/keep-running.sh RUN_FOLDER COMMAND...
#   launch/keep-running.sh runs/gla mpirun -np 8 flame-c --config gla.yaml --job.dump_folder=runs/gla
# Waits 5 s before it starts the job again, and twice as long after each failure without a new checkpoint, at most 5 minutes.
# Gives up after three failures in a row (KEEP_RUNNING_TRIES) without a new checkpoint, and at once after an error that would recur:
# in the input, in the command line, skipped steps, or hardware that computes other results the second time. SIGUSR1, SIGINT,
# SIGTERM and SIGHUP are passed on to the job, and end the loop.
set -u
case " ${1:-} ${2:-} " in "   " | *" -h "* | *" --help "*) awk 'NR > 1 { if (!sub(/^# ?/, "")) exit; print }' "$0"; exit 0 ;; esac
[ $# -ge 2 ] || { echo "keep-running.sh: no command after $1" >&2; exit 2; }
folder=$1
shift
tries=${KEEP_RUNNING_TRIES:-3} first_wait=${KEEP_RUNNING_WAIT:-5}
say() { echo "keep-running.sh: $*" >&2; }
# Prints the folder of the newest checkpoint, step-NUMBER in a folder of any name (checkpoint.folder).
newest() {
    local step name
    for step in "$folder"/*/step-*; do
        name=${step##*/step-}
        case $name in *[!0-9]*) ;; *) echo "$name $step" ;; esac
    done | sort -n | tail -n 1 | cut -d ' ' -f 2-
}

job='' pause='' asked='' missed=''
pass_on() {
    asked=$1
    if [ -n "$job" ]; then kill -"$1" "$job" 2>/dev/null; else missed=$1; fi
    [ -z "$pause" ] || kill -KILL "$pause" 2>/dev/null
}
for signal in USR1 INT TERM HUP; do trap "pass_on $signal" $signal; done

failures=0
while true; do
    before=$(newest)
    # The job has a process group of its own, so that it gets a signal of the terminal only once, from pass_on: mpirun takes a
    # second Ctrl-C as an order to end at once. Such a group may not read from the terminal, but with TTOU ignored it may write.
    set -m
    (trap '' TTOU && exec "$@") </dev/null &
    job=$!
    set +m
    [ -z "$missed" ] || pass_on "$missed"
    # A signal that is passed on ends `wait`, but not the job.
    while true; do
        wait $job
        code=$?
        kill -0 $job 2>/dev/null || break
    done
    job=''
    [ $code != 0 ] || exit 0
    [ -z "$asked" ] || { say "stopped by SIG$asked, exit code $code"; exit $code; }
    case $code in
        1 | 2 | 4) say "exit code $code: this would come back, see the message above"; exit $code ;;
        126 | 127) say "$1 cannot be started"; exit $code ;;
    esac
    after=$(newest)
    if [ "$after" = "$before" ] && [ $failures -gt 0 ]; then
        failures=$((failures + 1)) wait_seconds=$((2 * wait_seconds))
    else
        failures=1 wait_seconds=$first_wait
    fi
    [ $wait_seconds -le 300 ] || wait_seconds=300
    at=$([ -n "$after" ] && basename "$after" || echo "the beginning")
    if [ $failures -ge "$tries" ]; then
        say "exit code $code: $failures failures in a row at $at, without a new checkpoint; giving up"
        exit $code
    fi
    say "exit code $code after $at: starting again in $wait_seconds s"
    sleep $wait_seconds >/dev/null 2>&1 &
    pause=$!
    [ -z "$asked" ] || kill -KILL $pause
    wait $pause 2>/dev/null
    pause=''
    [ -z "$asked" ] || { say "stopped by SIG$asked"; exit $code; }
done
