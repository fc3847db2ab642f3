#!/usr/bin/env bash
# launch/keep-running.sh starts a killed job again until it is done, and gives up if an error repeats.
source "$(dirname "$0")/common.sh"
make_data
make_config
export KEEP_RUNNING_WAIT=0
keep=$source_folder/launch/keep-running.sh
job=("$FLAME" --config "$work/config.yaml" --checkpoint.enable_checkpoint=true --checkpoint.interval=5 --job.dump_folder="$work/run")
runs() { # EXIT_CODE TEXT COMMAND...
    local code=0
    "$keep" "$work/run" "${@:3}" >"$work/log" 2>&1 || code=$?
    [ $code = "$1" ] || { cat "$work/log"; fail "exit code $code, not $1"; }
    grep -q -- "$2" "$work/log" || { cat "$work/log"; fail "missing message: $2"; }
}

# Dies at each new checkpoint, and is done in the end.
cat >"$work/dies.sh" <<'END'
run=$1 && shift
count=$(ls "$run/checkpoint" 2>/dev/null | grep -c '^step-........$')
"$@" &
while kill -0 $! 2>/dev/null; do
    [ "$(ls "$run/checkpoint" 2>/dev/null | grep -c '^step-........$')" -le "$count" ] || kill -KILL $! 2>/dev/null
done
wait $!
END
runs 0 'exit code 137 after step-000000[0-9]*: starting again in 0 s' bash "$work/dies.sh" "$work/run" "${job[@]}"
[ -d "$work/run/checkpoint/step-00000050" ] || fail "not done"
losses "$work/run" | awk '$1 != NR { bad = 1 } END { exit bad || NR != 50 }' || fail "steps are missing or twice"

# Errors that repeat at the same step, and errors that would repeat.
runs 137 '3 failures in a row at step-00000050, without a new checkpoint; giving up' bash -c 'kill -KILL $$'
[ "$(grep -c 'starting again' "$work/log")" = 2 ] || { cat "$work/log"; fail "tried another number of times"; }
mkdir "$work/bin" # a sleep that takes no time
printf '#!/bin/sh\nexit 0\n' >"$work/bin/sleep"
chmod +x "$work/bin/sleep"
PATH=$work/bin:$PATH KEEP_RUNNING_TRIES=70 KEEP_RUNNING_WAIT=5 runs 137 '70 failures in a row' bash -c 'kill -KILL $$'
waits=$(sed -n 's/.*starting again in \(.*\) s$/\1/p' "$work/log" | uniq -c | tr -s ' ' | tr '\n' ';')
[ "$waits" = ' 1 5; 1 10; 1 20; 1 40; 1 80; 1 160; 63 300;' ] || fail "waits of $waits"
runs 2 'exit code 2: this would come back' "${job[@]}" --training.seq_len=0
runs 127 'no-such-program cannot be started' no-such-program

# New checkpoints in another folder, and with steps of nine digits, are new checkpoints.
cat >"$work/advances.sh" <<'END'
count=$(ls -d "$1"/other/step-* 2>/dev/null | wc -l)
[ "$count" -lt 6 ] || exit 0
mkdir -p "$1/other/step-$((99999998 + count))" "$1/other/step-99999999.rewound"
exit 3
END
rm -rf "$work/run"
runs 0 'exit code 3 after step-100000001: starting again in 0 s' bash "$work/advances.sh" "$work/run"

# A signal reaches the job, which saves and ends, and the loop ends too.
rm -rf "$work/run"
"$keep" "$work/run" "${job[@]}" --training.steps=1000000 >"$work/log" 2>&1 &
loop=$!
until grep -q '^step  *1/' "$work/log"; do kill -0 $loop || { cat "$work/log"; fail "ended early"; }; sleep 0.1; done
kill -USR1 $loop
wait $loop || { cat "$work/log"; fail "exit code $? after SIGUSR1"; }
grep -q 'stopped on request' "$work/log" || { cat "$work/log"; fail "SIGUSR1 did not reach the job"; }

# A signal during the wait ends the loop, and nothing is left that holds its output open.
mkfifo "$work/output"
KEEP_RUNNING_WAIT=299 "$keep" "$work/run" bash -c 'exit 5' >"$work/output" 2>&1 &
loop=$!
exec 9<"$work/output"
until read -r -t 10 line <&9 && [[ $line == *'starting again in 299 s' ]]; do kill -0 $loop || fail "ended early"; done
until pause=$(pgrep -P $loop -x sleep); do kill -0 $loop || fail "does not wait"; done
kill -TERM $loop
code=0
wait $loop || code=$?
[ $code = 5 ] || fail "exit code $code after SIGTERM during the wait"
timeout 10 cat <&9 >"$work/log" || fail "something holds the output of the loop open"
grep -q 'stopped by SIGTERM' "$work/log" || { cat "$work/log"; fail "nothing says that SIGTERM has ended the wait"; }
exec 9<&-
for ((tenth = 0; tenth < 100; tenth++)); do kill -0 "$pause" 2>/dev/null || break; sleep 0.1; done
[ $tenth -lt 100 ] || fail "the process that waited is left"

# Ctrl-C on a terminal reaches the job from the loop alone, and not its group; and a job may write to a terminal that stops
# writers in the background.
cat >"$work/counts.sh" <<'END'
env --default-signal=INT sleep 30 &
child=$!
count=0
trap 'count=$((count + 1))' INT
echo counting
for ((tenth = 0; tenth < 100 && count == 0; tenth++)); do sleep 0.1; done
sleep 0.5 # for another one
kill $child && echo "SIGINT $count, child alive"
exit 3
END
: >"$work/log"
{
    until grep -q counting "$work/log"; do sleep 0.1; done
    printf '\003'
    until grep -q 'keep-running.sh: ' "$work/log"; do sleep 0.1; done
} | timeout 60 script -qefc "stty tostop; $keep $work/run env --default-signal=INT bash $work/counts.sh" /dev/null >"$work/log" || true
grep -q 'SIGINT 1, child alive' "$work/log" && grep -q 'stopped by SIGINT, exit code 3' "$work/log" ||
    { cat "$work/log"; fail "Ctrl-C on a terminal"; }
echo "killed at each checkpoint and done; gives up on what comes back; passes signals on"
