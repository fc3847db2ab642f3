#!/usr/bin/env bash
# A rank dies at an unusual moment: while MPI starts, while it reads data, in the thread that saves, after the last step. It is
# killed, crashes, aborts or just exits with 0. The job ends with an exit code that is not 0, no process and no temporary file is left,
# and the next start finishes the run.
source "$(dirname "$0")/common.sh"
make_data
make_config
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0
on=(--config "$work/config.yaml" --training.steps=9 --checkpoint.enable_checkpoint=true --checkpoint.interval=3
    --checkpoint.async_mode=async)
ranks 3 "${on[@]}" --job.dump_folder="$work/whole" || { cat "$work/log"; fail "the undisturbed run"; }

# dies PLACE DEATH RANK CALL PATH AFTER: the rank dies in that call for a path with these words, once the file AFTER exists.
died=0
dies() {
    local run="$work/$1" code=0
    rm -rf "$run"
    FAULT=$2 FAULT_RANK=$3 FAULT_CALL=$4 FAULT_PATH=$5 FAULT_AFTER=$6 LD_PRELOAD=$FAULTS \
        ranks 3 "${on[@]}" --job.dump_folder="$run" || code=$?
    [ $code != 0 ] || { cat "$work/log"; fail "$1, $2: the job ended with 0"; }
    for ((tenth = 0; tenth < 50; tenth++)); do pgrep -f -- "--job.dump_folder=$run" >/dev/null || break; sleep 0.1; done
    ! pgrep -af -- "--job.dump_folder=$run" || fail "$1, $2: processes are left 5 s after mpirun has ended"
    ranks 3 "${on[@]}" --job.dump_folder="$run" || { cat "$work/log"; fail "$1, $2: the next start"; }
    cmp "$run/checkpoint/step-00000009/model.safetensors" "$work/whole/checkpoint/step-00000009/model.safetensors" ||
        fail "$1, $2: other weights"
    [ -z "$(find "$run" -name '*.tmp*')" ] || fail "$1, $2: left $(find "$run" -name '*.tmp*')"
    died=$((died + 1))
}
for death in -9 exit; do
    dies starting $death 1 open /fd/ /
    dies reading $death 1 pread /data.h5 /
    dies saving $death 0 fsync /checkpoint/ "$work/saving/checkpoint/step-00000003"
    dies ending $death 1 open vader_segment "$work/ending/checkpoint/step-00000009"
done
dies saving -11 2 open .safetensors "$work/saving/checkpoint/step-00000003"
dies saving -6 1 open .safetensors "$work/saving/checkpoint/step-00000003"
echo "a rank died in $died places: the job ended, and the next start finished the run"
