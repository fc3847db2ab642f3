/* A communicator: the collectives the trainer needs, with NCCL's in-place rules. One static table per backend:
 *   self    one rank
 *   mpi     Open MPI between hosts, shared memory within one
 *   staged  device memory, copied through the host to one of the two above
 *   nccl    GPU memory
 * Every function is collective: all ranks call it in the same order, with the same sizes and the same offsets into
 * memory from `allocate` (or all with other memory). A failed collective ends the job.
 *
 * `self` and `mpi` work on host memory, and a collective is complete when it returns. In `staged` and `nccl`, allocate,
 * release, whole, all_gather and reduce_scatter work on device memory. Their collectives are ordered after earlier
 * device calls; asynchronous ones overlap with later device calls until wait_gathers or wait_reductions. */
#ifndef FLAME_PARALLEL_COMM_H
#define FLAME_PARALLEL_COMM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "core/device.h"

typedef struct Comm Comm;

typedef struct CommFunctions {
    const char *name;
    bool asynchronous;
    /* Memory for buffers of collectives (shared within a host, registered with NCCL), zeroed, 64-byte aligned. All
     * ranks pass the same size. Collective; so is release, when no rank reads the memory any more. */
    void *(*allocate)(Comm *comm, int64_t bytes);
    void (*release)(Comm *comm, void *memory);
    /* The allocations of all ranks as one array: rank r's begins at r * (bytes rounded up to 64), this rank's is
     * `memory`. NULL if ranks cannot map each other's memory. Not collective: the caller synchronizes with writers. */
    const void *(*whole)(Comm *comm, const void *memory);
    /* receive[r*bytes ...] = send of rank r. In place when send = receive + rank*bytes. */
    void (*all_gather)(Comm *comm, const void *send, void *receive, int64_t bytes);
    /* receive[i] = sum over ranks, in rank order, of send_r[rank*count + i]. In place when receive = send + rank*count.
     */
    void (*reduce_scatter)(Comm *comm, const float *send, float *receive, int64_t count);
    /* Orders later device calls after every all_gather (reduce_scatter) so far: they see its result and may overwrite
     * its input. Does not block the host. */
    void (*wait_gathers)(Comm *comm);
    void (*wait_reductions)(Comm *comm);
    /* A recording that contains collectives is being replayed: lets the watchdog watch it under the name `subject`.
     * NULL if collectives cannot be recorded. */
    void (*watch_replay)(Comm *comm, const char *subject);
    /* values[i] = sum (or maximum) over ranks, in rank order: the same bits everywhere. */
    void (*all_reduce_sum)(Comm *comm, double *values, int64_t count);
    void (*all_reduce_max)(Comm *comm, double *values, int64_t count);
    void (*broadcast)(Comm *comm, void *data, int64_t bytes, int root);
    void (*barrier)(Comm *comm);
    /* A communicator of the ranks that pass the same color, in their order here (MPI_Comm_split). The caller destroys
     * it before `comm`. Only for communicators of host memory. */
    Comm *(*split)(Comm *comm, int color);
    void (*destroy)(Comm *comm);
} CommFunctions;

struct Comm {
    const CommFunctions *f;
    int rank, size, local_rank, local_size;
    int64_t bytes_sent;  /* by this rank's all_gathers and reduce_scatters: what it sends, or peers read from it */
    const char *subject; /* for messages: the name of the unit that the next collectives work on */
    const char *ranks;   /* for messages: "" for all ranks, or for instance " over the replicas" */
    void *state;
};

/* The communicator of this process: mpi if it was started by mpirun with more than one rank, else self (MPI is then not
 * even initialised, no daemon is needed). USAGE after one error if a launcher says that it started several processes
 * and this one sees only itself (torchrun, srun without PMIx, the mpiexec of another MPI). */
Status comm_create(Comm **comm);
Comm *comm_self_create(void);
/* The ranks of MPI_COMM_WORLD; initialises MPI if necessary. share_memory false: messages also within a host. */
Comm *comm_mpi_create(bool share_memory);
/* For memory of `device`, over the ranks of `host`, which must outlive it: copies to the host, runs the collective
 * there and copies back. Results are bitwise those of `host`. */
Comm *comm_staged_create(Comm *host, const Device *device);
/* For GPU memory, over the ranks of `host`, by NCCL. share_gpu: several ranks use one GPU (tests). BAD_INPUT if NCCL
 * cannot be loaded or cannot connect the ranks, logged once. Collective over `world`, whose ranks each pass their
 * group. */
Status comm_nccl_create(Comm *world, Comm *host, const Device *device, bool share_gpu, Comm **comm);
/* The worst status of all ranks, so that all stop together; prints the errors that ranks have logged, each once.
 * Collective. */
Status comm_worst(Comm *comm, Status status);
/* True on the lowest rank whose `mine` is true: the one that logs the error. Collective. */
bool comm_is_first(Comm *comm, bool mine);
/* How many ranks use this rank's device. Collective. */
int comm_sharers(Comm *comm, const Device *device);
/* Settings of communicators for GPUs. */
enum { COMM_TIMEOUT = 300 };
typedef enum GpuSharing { SHARE_NEVER, SHARE_BY_MPI, SHARE_BY_NCCL } GpuSharing;
typedef struct CommSettings {
    GpuSharing sharing; /* whether ranks may use the same GPU, and how these exchange data */
    double
        timeout_seconds; /* the job ends if no collective completes for so long; INFINITY: ranks wait for each other */
} CommSettings;
/* Sets them for this process, before the first communicator for a GPU is created. share_gpu: "never", "mpi", "nccl". */
void comm_configure(const char *share_gpu, double timeout_seconds);
CommSettings comm_settings(void);
/* The communicator for memory of `device` over the ranks of `host`: `host` itself, or a new one that the caller
 * destroys before `host`. Collective over `world`, whose ranks pass groups of equal size. */
Status comm_for_device(Comm *world, Comm *host, const Device *device, Comm **comm);
/* Ends MPI if comm_mpi_create began it. */
void comm_destroy(Comm *comm);

#endif
