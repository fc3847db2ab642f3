#!/usr/bin/env bash
# Failures that were once found by trying: closed descriptors, files that cannot be read or that change, early signals, a launcher
# that dies, and impossible numbers of threads.
source "$(dirname "$0")/common.sh"
make_data
make_config
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0
on=(--config "$work/config.yaml" --checkpoint.enable_checkpoint=true)
endless=("${on[@]}" --training.steps=1000000 --checkpoint.interval=1000000)
until_logged() { # RUN LINES
    until [ -e "$work/$1/metrics.jsonl" ] && [ "$(wc -l <"$work/$1/metrics.jsonl")" -ge "$2" ]; do
        kill -0 $job 2>/dev/null || { cat "$work/log"; fail "$1 ended early"; }
        sleep 0.05
    done
}
saved() { find "$work/$1/checkpoint" -maxdepth 1 -name 'step-????????' 2>/dev/null | sort; }
# ends_saved WHAT RUN: the job ends with 0 and has saved the last step that it logged.
ends_saved() {
    local code=0
    wait $job || code=$?
    [ "$code" = 0 ] || { cat "$work/log"; fail "$1: exit code $code"; }
    [ -n "$(saved "$2")" ] || { cat "$work/log"; fail "$1: nothing is saved"; }
    [ "$(basename "$(saved "$2" | tail -n 1)")" = "step-$(printf %08d "$(losses "$work/$2" | tail -n 1 | cut -d' ' -f1)")" ] ||
        { cat "$work/log"; fail "$1: the last step is not saved: $(saved "$2")"; }
}

# With standard input, output and error closed, no message is written into a file of the run.
"$FLAME" "${endless[@]}" --job.dump_folder="$work/closed" --training.seq_len=256 <&- >&- 2>&- &
job=$!
until_logged closed 3
lock=$(cat "$work/closed/.lock")
kill -USR1 $job
ends_saved "closed descriptors" closed
[[ "$lock" =~ ^host\ .*,\ process\ [0-9]+,\ started\ [-0-9:\ ]+UTC$ ]] || fail "with closed descriptors the lock holds: $lock"
grep -qv '^{.*}$' "$work/closed/metrics.jsonl" && fail "with closed descriptors metrics.jsonl holds: $(grep -v '^{.*}$' "$work/closed/metrics.jsonl")"

# SIGHUP saves and stops, unless nohup says to ignore it.
"$FLAME" "${endless[@]}" --job.dump_folder="$work/hangup" >"$work/log" 2>&1 &
job=$!
until_logged hangup 3
kill -HUP $job
ends_saved SIGHUP hangup
(trap '' HUP; exec "$FLAME" "${endless[@]}" --job.dump_folder="$work/nohup") >"$work/log" 2>&1 &
job=$!
until_logged nohup 3
kill -HUP $job
until_logged nohup $(($(wc -l <"$work/nohup/metrics.jsonl") + 3))
kill -USR1 $job
ends_saved "SIGUSR1 after an ignored SIGHUP" nohup

# A signal that arrives while the program starts is held back until the first step.
FAULT=hang FAULT_CALL=open FAULT_PATH=config.yaml FAULT_BEGUN=$work/begun FAULT_UNTIL=$work/go LD_PRELOAD=$FAULTS \
    "$FLAME" "${endless[@]}" --job.dump_folder="$work/early" >"$work/log" 2>&1 &
job=$!
until [ -e "$work/begun" ]; do sleep 0.02; done
kill -USR1 $job
sleep 0.2 # the signal would end it now
touch "$work/go"
ends_saved "SIGUSR1 at the start" early

# If mpirun -np 1 is killed, the rank does not continue training and keep the lock.
mpirun --allow-run-as-root -np 1 "$FLAME" "${endless[@]}" --job.dump_folder="$work/orphan" >"$work/log" 2>&1 &
job=$!
until_logged orphan 3
kill -KILL $job
wait $job 2>/dev/null || true
while pgrep -f -- "--job.dump_folder=$work/orphan" >/dev/null; do sleep 0.1; done
[ -n "$(saved orphan)" ] || fail "the rank of a killed mpirun did not save"

# The same before the rank could look for its mpirun.
FAULT=hang FAULT_CALL=open FAULT_PATH=config.yaml FAULT_BEGUN=$work/began FAULT_UNTIL=$work/on LD_PRELOAD=$FAULTS \
    mpirun --allow-run-as-root -np 1 "$FLAME" "${endless[@]}" --job.dump_folder="$work/orphan-early" >"$work/log" 2>&1 &
job=$!
until [ -e "$work/began" ]; do sleep 0.02; done
kill -KILL $job
wait $job 2>/dev/null || true
touch "$work/on"
while pgrep -f -- "--job.dump_folder=$work/orphan-early" >/dev/null; do sleep 0.1; done

# A data file that is completely in memory, and changes.
"$FLAME" data build --text "$source_folder/src/base" --out "$work/small.h5" >"$work/log" 2>&1 || fail "data build"
"$FLAME" "${endless[@]}" --data.files="$work/small.h5" --job.dump_folder="$work/changed" >"$work/log" 2>&1 &
job=$!
until_logged changed 200 # all of it has been read
touch -d 'next year' "$work/small.h5"
code=0
wait $job || code=$?
[ "$code" = 3 ] && grep -q 'small.h5: was replaced or changed while in use' "$work/log" || { cat "$work/log"; fail "a changed data file: exit code $code"; }
[ -n "$(saved changed)" ] || fail "what was trained before the data file changed is not saved"

# A second job in the folder of one that runs.
"$FLAME" "${endless[@]}" --job.dump_folder="$work/busy" >"$work/busy.log" 2>&1 &
job=$!
until_logged busy 3
refuses_second() { # FOLDER RUN
    code=0
    ranks 2 "${endless[@]}" --training.steps=1 --job.dump_folder="$work/$2" || code=$?
    [ "$code" = 1 ] && grep -q "another job is running in .*/$1 (host .*, process $job, started " "$work/log" || { cat "$work/log"; fail "a second job: exit code $code"; }
}
refuses_second busy busy
mkdir "$work/beside" && ln -s ../busy/checkpoint "$work/beside/checkpoint"
refuses_second beside/checkpoint beside
kill -USR1 $job
ends_saved "the first of two jobs" busy

# If the folder of a running job is moved, its saves fail, because the old name has neither its checkpoints nor its lock.
"$FLAME" "${endless[@]}" --job.dump_folder="$work/here" >"$work/log" 2>&1 &
job=$!
until_logged here 3
mv "$work/here" "$work/there"
kill -USR1 $job
code=0
wait $job || code=$?
[ "$code" = 3 ] && grep -q 'was not saved: .*/here/checkpoint/step-.*: No such file or directory' "$work/log" || { cat "$work/log"; fail "a folder that was moved: exit code $code"; }
[ ! -e "$work/here" ] || fail "a run whose folder was moved has made $(find "$work/here")"

# A finished run that is started again has nothing to do and writes nothing.
ranks 1 "${on[@]}" --training.steps=4 --job.dump_folder="$work/ended" || fail "a run to its end"
sums() { (cd "$work/ended" && find . -type f ! -name train.log ! -name config.yaml ! -path './tb/*' -exec cksum {} + | sort); }
before=$(sums)
ranks 2 "${on[@]}" --training.steps=4 --job.dump_folder="$work/ended" || { cat "$work/log"; fail "started again at its end: exit code $?"; }
grep -q 'step 4 of 4 is done already: nothing to train' "$work/log" && [ "$(sums)" = "$before" ] || { cat "$work/log"; fail "started again at its end it wrote something"; }

# A closed pipe as standard output, an empty environment, and a read-only working directory.
code=0
{ "$FLAME" "${on[@]}" --training.steps=4 --job.dump_folder="$work/unread" 2>"$work/err" || echo $? >"$work/code"; } | true
[ ! -e "$work/code" ] && [ -n "$(saved unread)" ] || { cat "$work/err"; fail "a closed pipe: exit code $(cat "$work/code")"; }
(cd /proc && env -i OMP_NUM_THREADS=1 TZ=nowhere "$FLAME" "${on[@]}" --training.steps=4 --job.dump_folder="$work/bare") >"$work/log" 2>&1 ||
    { cat "$work/log"; fail "without an environment: exit code $?"; }

# The only checkpoint cannot be read: exit code 3, and it stays where it is.
ranks 1 "${on[@]}" --training.steps=4 --job.dump_folder="$work/whole" || fail "a run with a checkpoint"
for file in state.json config.json model.safetensors optimizer.safetensors; do
    code=0
    FAULT=5 FAULT_CALL=pread FAULT_PATH=step-00000004/$file LD_PRELOAD=$FAULTS \
        "$FLAME" "${on[@]}" --training.steps=6 --job.dump_folder="$work/whole" >"$work/log" 2>&1 || code=$?
    [ "$code" = 3 ] && grep -q 'cannot be read, but may be whole' "$work/log" || { cat "$work/log"; fail "EIO for $file: exit code $code"; }
    [ "$(ls "$work/whole/checkpoint")" = step-00000004 ] || fail "EIO for $file: left $(ls "$work/whole/checkpoint")"
done
# metrics.jsonl cannot be read: exit code 3, and all its lines stay, those of a later step too.
cp -r "$work/whole" "$work/lines"
echo '{"step": 5, "loss": 1}' >>"$work/lines/metrics.jsonl"
before=$(cksum <"$work/lines/metrics.jsonl")
code=0
FAULT=5 FAULT_CALL=pread FAULT_PATH=metrics.jsonl LD_PRELOAD=$FAULTS \
    "$FLAME" "${on[@]}" --training.steps=6 --job.dump_folder="$work/lines" >"$work/log" 2>&1 || code=$?
[ "$code" = 3 ] && grep -q 'metrics.jsonl cannot be read: Input/output error' "$work/log" || { cat "$work/log"; fail "EIO for metrics.jsonl: exit code $code"; }
[ "$(cksum <"$work/lines/metrics.jsonl")" = "$before" ] || fail "EIO for metrics.jsonl: it has now $(wc -l <"$work/lines/metrics.jsonl") lines"

# A state.json with counts from which no run can continue, and a correct CRC.
forge() { # SED-SCRIPT
    rm -rf "$work/forged"
    cp -r "$work/whole" "$work/forged"
    local state=$work/forged/checkpoint/step-00000004/state.json crc
    sed -i "$1; s/\"crc32\": \"[0-9a-f]*\"/\"crc32\": \"00000000\"/" "$state"
    crc=$(gzip -c "$state" | tail -c 8 | od -An -tx4 -N4 | tr -d ' ')
    sed -i "0,/00000000/s//$crc/" "$state"
    if cmp -s "$state" "$work/whole/checkpoint/step-00000004/state.json"; then fail "forge $1 changes nothing"; fi
}
refuses_forged() { # REGEX
    code=0
    ranks 2 "${on[@]}" --training.steps=6 --job.dump_folder="$work/forged" || code=$?
    [ "$code" = 1 ] && grep -qE "$1" "$work/log" || { cat "$work/log"; fail "exit code $code, not: $1"; }
}
forge '/"samples"/d'; refuses_forged 'state.json has no usable count samples, so a run cannot continue from it'
forge 's/"samples": [0-9]*/"samples": -8/'; refuses_forged 'state.json has no usable count samples'
forge 's/"samples": [0-9]*/"samples": 32.0/'; refuses_forged 'state.json has no usable count samples'
forge 's/"samples": [0-9]*/"samples": 0/'; refuses_forged 'state.json has no usable count samples'
forge 's/"tokens": [0-9]*/"tokens": "2048"/'; refuses_forged 'state.json has no usable count tokens'
forge 's/"updates": [0-9]*/"updates": 5/'; refuses_forged 'state.json has no usable count updates'
forge 's/"step": [0-9]*/"step": -4/'; refuses_forged 'state.json has no step$'
rm -rf "$work/forged" && cp -r "$work/whole" "$work/forged"
mv "$work/forged/checkpoint/step-00000004" "$work/forged/checkpoint/step-00000003"
refuses_forged 'step-00000003 is the checkpoint of step 4, under another name. Rename it to step-00000004'
[ "$(ls "$work/forged/checkpoint")" = step-00000003 ] || fail "a renamed step is now $(ls "$work/forged/checkpoint")"

# A damaged step is renamed, and the advice in the message names an existing folder.
printf x | dd of="$work/whole/checkpoint/step-00000004/optimizer.safetensors" bs=1 seek=20 conv=notrunc status=none
ranks 1 "${on[@]}" --training.steps=6 --job.dump_folder="$work/whole" && fail "a damaged checkpoint was used"
named=$(sed -n 's/.*its checkpoint is now \([^ ]*[0-9a-z]\)[. ].*initial_load_path.*/\1/p' "$work/log")
[ -n "$named" ] && [ -d "$named" ] || { cat "$work/log"; fail "the advice names $named"; }
ranks 1 "${on[@]}" --training.steps=6 --job.dump_folder="$work/again" --checkpoint.initial_load_path="$named" || { cat "$work/log"; fail "the advice does not work"; }

# More threads than a machine has.
OMP_NUM_THREADS=100000 "$FLAME" "${on[@]}" --training.steps=2 --job.dump_folder="$work/threads" >"$work/log" 2>&1 || { cat "$work/log"; fail "OMP_NUM_THREADS=100000: exit code $?"; }
[ "$(grep -c 'warning: OMP_NUM_THREADS is 100000' "$work/log")" = 1 ] || { cat "$work/log"; fail "nothing says that OMP_NUM_THREADS is too large"; }

# More processors than a mask has room for: OpenMP's number of threads stays, with a warning.
(unset OMP_NUM_THREADS && FAULT_CALL=sched_getaffinity FAULT=22 LD_PRELOAD=$FAULTS ranks 2 "${on[@]}" --training.steps=2 \
    --job.dump_folder="$work/processors") || { cat "$work/log"; fail "without its processors: exit code $?"; }
[ "$(grep -c 'warning: .*cannot divide its processors among themselves (sched_getaffinity: Invalid argument): set OMP_NUM_THREADS' "$work/log")" = 1 ] ||
    { cat "$work/log"; fail "nothing says that the processors are unknown"; }

# A folder without tensors, imported into a folder that is not there: nothing is made.
mkdir "$work/empty"
cp "$source_folder/tests/golden/gla/config.json" "$work/empty/"
echo '{"metadata": {}, "weight_map": {}}' >"$work/empty/model.safetensors.index.json"
code=0
"$FLAME" import --from "$work/empty" --out "$work/imported" >"$work/log" 2>&1 || code=$?
[ "$code" = 1 ] && grep -q '31 tensors missing' "$work/log" || { cat "$work/log"; fail "an import without tensors: exit code $code"; }
[ ! -e "$work/imported" ] || fail "a failed import left $(ls -A "$work/imported")"
# One that cannot be written.
code=0
FAULT=5 FAULT_CALL=fsync LD_PRELOAD=$FAULTS "$FLAME" import --from "$source_folder/tests/golden/gla" --out "$work/imported" >"$work/log" 2>&1 || code=$?
[ "$code" = 3 ] || { cat "$work/log"; fail "an import that cannot be written: exit code $code"; }
[ ! -e "$work/imported" ] || fail "a failed import left $(ls -A "$work/imported")"
echo "faults found by trial: each ends as it should"
