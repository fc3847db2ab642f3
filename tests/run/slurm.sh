#!/usr/bin/env bash
# launch/slurm.sbatch requeues a job if another start can continue it, and no other job. srun and scontrol are stubs; the messages
# are those of the program.
source "$(dirname "$0")/common.sh"
mkdir "$work/bin"
cat >"$work/bin/srun" <<'END'
#!/bin/sh
printf '%s\n' "$SAID"
exit "$CODE"
END
cat >"$work/bin/scontrol" <<'END'
#!/bin/sh
echo "$*" >>"$REQUEUED"
END
chmod +x "$work"/bin/*
export PATH=$work/bin:$PATH SLURM_JOB_ID=7 REQUEUED=$work/requeued SAID CODE

# requeues YES_OR_NO CODE WORDS: of a job whose ranks say WORDS and whose srun ends with CODE.
requeues() {
    local wanted=$1 got=0 found=no
    CODE=$2 SAID=$3
    rm -f "$REQUEUED"
    bash "$source_folder/launch/slurm.sbatch" --config a.yaml >"$work/log" 2>&1 || got=$?
    [ $got = "$CODE" ] || { cat "$work/log"; fail "exit code $got, not $CODE: $SAID"; }
    [ ! -e "$REQUEUED" ] || found=yes
    [ $found = "$wanted" ] || fail "requeued: $found, with exit code $CODE and: $SAID"
}
died='flame-c: error: rank 1 (process 16959) has died while reading data; its last collective was none. The run goes on from its last checkpoint'
stuck='flame-c: error: [rank 3] no progress for 300 s. Another rank has died, hangs, or reads its data too slowly; the run goes on from its last checkpoint'
gpu='flame-c: error: [rank 3] the GPU failed: uncorrectable ECC error encountered (cudaErrorECCUncorrectable), at the earliest in the all-gather of model.layers.3. The memory of the GPU is damaged: nvidia-smi -q -d ECC counts its errors. The run goes on from its last checkpoint'
kernel='flame-c: error: [rank 3] the GPU failed: an illegal memory access was encountered (cudaErrorIllegalAddress) at device_cuda.c:200. An earlier kernel is at fault'
slow='flame-c: warning: no progress for 20 s: this rank is reading data; its last collective was none'
requeues yes 137 "$died"
requeues yes 143 "$stuck"
requeues yes 3 "$stuck"
requeues yes 3 "$gpu"
requeues no 3 "$kernel"
requeues yes 5 ''
requeues yes 0 'stopped on request after step 72'
requeues yes 0 "$slow
stopped on request after step 72"
requeues no 0 "$slow"
requeues no 4 "$slow"
requeues no 137 "$slow"
for code in 1 2 4; do requeues no $code "$died"; done
requeues no 0 ''
MAX_RESTARTS=3 SLURM_RESTART_COUNT=3 requeues no 5 ''
grep -q 'restarted 3 times' "$work/log" || { cat "$work/log"; fail "nothing says that it is not requeued"; }
for place in parallel/comm_watch.c:The parallel/comm_nccl.c:the parallel/watchdog.c:the core/device_cuda.c:The; do # the program still says so
    grep -qF "${place#*:} run goes on from its last " "$source_folder/src/${place%:*}" || fail "nothing goes on by ${place%:*}"
done
echo "a job that would go on is requeued, and no other"
