/* Which communicator a process gets: by how it was started, and by where the memory lies. */
#include <stdlib.h>

#include "base/log.h"
#include "parallel/comm.h"

static int integer_variable(const char *name) {
    const char *text = getenv(name);
    return text ? atoi(text) : 0;
}

/* Open MPI's mpirun and Hydra say how many ranks there are; PMIx (srun) only that there is a server to ask. */
static bool launched_with_mpi(void) {
    if (getenv("OMPI_COMM_WORLD_SIZE")) return integer_variable("OMPI_COMM_WORLD_SIZE") > 1;
    if (getenv("PMI_SIZE")) return integer_variable("PMI_SIZE") > 1;
    return getenv("PMIX_RANK") != NULL;
}

/* Slurm started several tasks, but none of them was told about the others. */
static Status refuse_lonely_tasks(int ranks) {
    const int tasks = integer_variable(getenv("SLURM_STEP_NUM_TASKS") ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS");
    if (ranks > 1 || tasks <= 1 || !getenv("SLURM_PROCID")) return OK;
    log_error(
        "Slurm runs %d tasks, but this process sees only itself: each task would train alone and overwrite the others. "
        "Start with 'srun --mpi=pmix flame-c ...' (srun --mpi=list shows what is there) or with mpirun.",
        tasks);
    return USAGE;
}

Status comm_create(Comm **comm) {
    *comm = launched_with_mpi() ? comm_mpi_create(true) : comm_self_create();
    const Status status = refuse_lonely_tasks((*comm)->size);
    if (status != OK) {
        comm_destroy(*comm);
        *comm = NULL;
    }
    return status;
}

Status comm_for_device(Comm *world, Comm *host, const Device *device, Comm **comm) {
    *comm = host;
    if (device->host_memory) return OK;
    double sharers = comm_sharers(world, device);
    world->f->all_reduce_max(world, &sharers, 1);
    const bool by_nccl = sharers == 1 || comm_settings().sharing == SHARE_BY_NCCL;
    if (device->nccl && host->size > 1 && by_nccl) return comm_nccl_create(world, host, device, sharers > 1, comm);
    *comm = comm_staged_create(host, device);
    return OK;
}
