#!/usr/bin/env bash
# Processes that a launcher started one by one, each with a rank of its own but without MPI, are noticed: one message names the
# launcher, and none of them trains.
source "$(dirname "$0")/common.sh"
make_data
make_config

# refused WORDS VARIABLES...: two processes, as a launcher starts them; @ in a variable is the process's number.
refused() {
    local words=$1 code rank
    shift
    : >"$work/log"
    for rank in 0 1; do
        code=0
        env "${@//@/$rank}" "$FLAME" --config "$work/config.yaml" --training.steps=1 >>"$work/log" 2>&1 || code=$?
        [ $code = 2 ] || { cat "$work/log"; fail "$*: process $rank ended with $code"; }
    done
    [ "$(grep -c 'error: ' "$work/log")" = 1 ] && grep -q "error: $words" "$work/log" || { cat "$work/log"; fail "$*: not one message with: $words"; }
    [ ! -e "$work/run" ] || fail "$*: it trained"
}
refused 'torchrun .*mpirun -np' RANK=@ LOCAL_RANK=@ WORLD_SIZE=2
refused 'PALS ' PALS_RANKID=@ PALS_LOCAL_SIZE=2
refused 'Flux .*flux run' FLUX_TASK_RANK=@ FLUX_JOB_SIZE=2
refused 'Slurm .*srun --mpi=pmix' SLURM_PROCID=@ SLURM_NTASKS=2
refused 'Slurm .*srun --mpi=pmix' SLURM_PROCID=@ SLURM_STEP_NUM_TASKS=2 SLURM_NTASKS=1

# If each host has its own log, its first process logs the error, whatever its rank is.
RANK=2 LOCAL_RANK=0 WORLD_SIZE=4 ranks 1 --config "$work/config.yaml" --training.steps=1 && fail "rank 2 of torchrun trained"
grep -q 'error: torchrun .*RANK=2' "$work/log" || { cat "$work/log"; fail "the first process of torchrun's second host says nothing"; }

# Alone by any launcher, or several by mpirun whatever else is in the environment, is fine.
for alone in "RANK=0 WORLD_SIZE=1" "SLURM_PROCID=0 SLURM_NTASKS=2 SLURM_STEP_NUM_TASKS=1" "WORLD_SIZE=2"; do
    env $alone "$FLAME" --config "$work/config.yaml" --training.steps=1 >"$work/log" 2>&1 || { cat "$work/log"; fail "$alone: refused"; }
done
RANK=0 WORLD_SIZE=2 ranks 2 --config "$work/config.yaml" --training.steps=1 || { cat "$work/log"; fail "mpirun beside torchrun's variables"; }
echo "torchrun, PALS, Flux and Slurm without MPI are named and refused"
