/* Chooses the communicator of a process by how it was started, and by the device whose memory is exchanged. */
#include <omp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "parallel/comm.h"

static int integer_variable(const char *name) {
    const char *text = getenv(name);
    return text ? atoi(text) : 0;
}

/* Open MPI's mpirun and Hydra set the number of ranks. With PMIx (srun) only MPI can find it out, by asking a
 * server. */
static bool launched_with_mpi(void) {
    if (getenv("OMPI_COMM_WORLD_SIZE")) return integer_variable("OMPI_COMM_WORLD_SIZE") > 1;
    if (getenv("PMI_SIZE")) return integer_variable("PMI_SIZE") > 1;
    return getenv("PMIX_RANK") != NULL;
}

/* The environment variables by which a launcher tells each process its rank. */
typedef struct Launcher {
    const char *name, *size, *rank; /* names of the variables */
    const char *speaker;            /* variable that is 0 on the process that logs the error: one process per log */
    const char *instead;            /* advice */
} Launcher;

#define MPIRUN                                                                                                         \
    "Start them with mpirun -np N flame-c ..., the mpirun of the MPI that this program was built with (flame-c "       \
    "--version names it)"
#define SRUN "Start with 'srun --mpi=pmix flame-c ...' (srun --mpi=list shows what is there) or with mpirun"

static const Launcher launchers[] = {
    {"torchrun", "WORLD_SIZE", "RANK", "LOCAL_RANK", MPIRUN},
    {"the mpirun of another Open MPI", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_RANK", MPIRUN},
    {"Flux", "FLUX_JOB_SIZE", "FLUX_TASK_RANK", "FLUX_TASK_RANK",
     "Start with 'flux run -o pmi=pmix flame-c ...' or with mpirun"},
    {"jsrun", "JSM_NAMESPACE_SIZE", "JSM_NAMESPACE_RANK", "JSM_NAMESPACE_RANK", MPIRUN},
    {"mpirun_rsh (MVAPICH)", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", MPIRUN},
    {"Slurm", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_PROCID", SRUN},
    {"Slurm", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_PROCID", SRUN},
    {"PALS (mpiexec)", "PALS_LOCAL_SIZE", "PALS_RANKID", "PALS_RANKID", MPIRUN},
    {"the mpiexec of MPICH or Intel MPI", "PMI_SIZE", "PMI_RANK", "PMI_RANK", MPIRUN},
};

/* Called by a process for which MPI knows no peers. USAGE if a launcher's variables say that there are several
 * processes, each of which would train alone. Logged once in each log. */
static Status refuse_lonely_rank(void) {
    const char *known = NULL; /* the last launcher found; of its rows only the first with both variables counts */
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++) {
        const Launcher *launcher = &launchers[i];
        const bool asked = known && strcmp(known, launcher->name) == 0;
        if (asked || !getenv(launcher->size) || !getenv(launcher->rank)) continue;
        known = launcher->name;
        const int size = integer_variable(launcher->size), rank = integer_variable(launcher->rank);
        if (size <= 1 && rank == 0) continue;
        if (integer_variable(launcher->speaker) == 0 || size <= 1)
            log_error("%s started several processes (%s=%d, %s=%d), but MPI does not connect them: each would train "
                      "alone and overwrite the others. %s. If this process is meant to be alone, unset %s",
                      launcher->name, launcher->size, size, launcher->rank, rank, launcher->instead, launcher->rank);
        return USAGE;
    }
    return OK;
}

/* Far more threads than processors would take minutes to start, or more memory for their stacks than there is. */
enum { THREADS_PER_PROCESSOR = 8, THREADS_ALWAYS = 64 };

static void limit_threads(void) {
    const long processors = sysconf(_SC_NPROCESSORS_ONLN), threads = omp_get_max_threads();
    const long most =
        processors * THREADS_PER_PROCESSOR > THREADS_ALWAYS ? processors * THREADS_PER_PROCESSOR : THREADS_ALWAYS;
    if (threads <= most) return;
    if (log_rank() == 0)
        log_warning("OMP_NUM_THREADS is %ld, but this machine has %ld processors: using %ld threads", threads,
                    processors, processors);
    omp_set_num_threads((int)processors);
}

Status comm_create(Comm **comm) {
    *comm = launched_with_mpi() ? comm_mpi_create(true) : comm_self_create();
    limit_threads();
    const Status status = (*comm)->size == 1 ? refuse_lonely_rank() : OK;
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
