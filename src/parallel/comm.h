/* A communicator: the collectives the trainer needs, with NCCL's in-place rules. One static table per backend:
 *   self    one rank
 *   mpi     Open MPI between hosts, shared memory within one
 *   staged  device memory, copied through the host to one of the two above
 *   nccl    GPU memory
 * Every function is collective: all ranks call it in the same order and with the same sizes. Either all ranks pass
 * memory from `allocate`, at the same offset in it, or all pass other memory. A failed collective ends the job.
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
     * ranks pass the same size. Collective, as is `release`, which is called when no rank reads the memory any more. */
    void *(*allocate)(Comm *comm, int64_t bytes);
    void (*release)(Comm *comm, void *memory);
    /* The allocations of all ranks as one array: rank r's begins at r * (bytes rounded up to 64), this rank's is
     * `memory`. NULL if ranks cannot map each other's memory. Not collective: the caller sees to it that writers have
     * finished. */
    const void *(*whole)(Comm *comm, const void *memory);
    /* receive[r*bytes ...] = send of rank r. In place when send = receive + rank*bytes. */
    void (*all_gather)(Comm *comm, const void *send, void *receive, int64_t bytes);
    /* receive[i] = sum over ranks of send_r[rank*count + i], in rank order, except in `nccl`, whose order depends on
     * its algorithm. In place when receive = send + rank*count. */
    void (*reduce_scatter)(Comm *comm, const float *send, float *receive, int64_t count);
    /* Orders later device calls after every all_gather (reduce_scatter) so far: they see its result and may overwrite
     * its input. Does not block the host. */
    void (*wait_gathers)(Comm *comm);
    void (*wait_reductions)(Comm *comm);
    /* Tells the watchdog that a recording with collectives is being replayed; messages call it `subject`. NULL if
     * collectives cannot be recorded. */
    void (*watch_replay)(Comm *comm, const char *subject);
    /* values[i] = sum (or maximum) over ranks, in rank order: the same bits everywhere. */
    void (*all_reduce_sum)(Comm *comm, double *values, int64_t count);
    void (*all_reduce_max)(Comm *comm, double *values, int64_t count);
    void (*broadcast)(Comm *comm, void *data, int64_t bytes, int root);
    void (*barrier)(Comm *comm);
    /* A communicator of the ranks that pass the same color, in the order that they have here (MPI_Comm_split). The
     * caller destroys it before `comm`. Only for communicators of host memory. */
    Comm *(*split)(Comm *comm, int color);
    void (*destroy)(Comm *comm);
} CommFunctions;

struct Comm {
    const CommFunctions *f;
    int rank, size, local_rank, local_size;
    int64_t bytes_sent;  /* sent by this rank's all_gathers and reduce_scatters, or read by its peers */
    const char *subject; /* for messages: the name of the unit that the next collectives work on */
    const char *ranks;   /* for messages: "" for all ranks, or for instance " over the replicas" */
    void *state;
};

/* The communicator of this process: mpi if a launcher started it as one of several MPI ranks, otherwise self (MPI is
 * then not even initialised, and no daemon is needed). USAGE after one error if a launcher's variables say that it
 * started several processes but MPI finds only this one (torchrun, srun without PMIx, the mpiexec of another MPI). */
Status comm_create(Comm **comm);
Comm *comm_self_create(void);
/* The ranks of MPI_COMM_WORLD; initialises MPI if necessary. With share_memory false they exchange messages within a
 * host, too. */
Comm *comm_mpi_create(bool share_memory);
/* A communicator for memory of `device` over the ranks of `host`, which must outlive it. It copies to the host, runs
 * the collective there and copies back. Results are bitwise those of `host`. */
Comm *comm_staged_create(Comm *host, const Device *device);
/* A communicator for GPU memory over the ranks of `host`, by NCCL. share_gpu: several ranks may use one GPU (for
 * tests). BAD_INPUT if NCCL cannot be loaded or cannot connect the ranks, logged once. Collective over `world`; each
 * rank passes the group that it belongs to as `host`. */
Status comm_nccl_create(Comm *world, Comm *host, const Device *device, bool share_gpu, Comm **comm);
/* Returns the worst status of all ranks, so that all stop together, and prints the messages that ranks have logged,
 * each once. Collective. */
Status comm_worst(Comm *comm, Status status);
/* True on the lowest rank whose `mine` is true: the one that logs the error. Collective. */
bool comm_is_first(Comm *comm, bool mine);
/* How many ranks use this rank's device. Collective. */
int comm_sharers(Comm *comm, const Device *device);
/* Settings of communicators for GPUs. */
enum { COMM_TIMEOUT = 300 };
typedef enum GpuSharing { SHARE_NEVER, SHARE_BY_MPI, SHARE_BY_NCCL } GpuSharing;
typedef struct CommSettings {
    GpuSharing sharing;     /* whether ranks may share a GPU, and how such ranks exchange data */
    double timeout_seconds; /* the job ends if no collective completes for this long; INFINITY: never */
} CommSettings;
/* Sets them for this process, before the first communicator for a GPU is created. share_gpu: "never", "mpi", "nccl". */
void comm_configure(const char *share_gpu, double timeout_seconds);
CommSettings comm_settings(void);
/* The communicator for memory of `device` over the ranks of `host`: `host` itself, or a new one that the caller
 * destroys before `host`. Collective over `world`, whose ranks pass groups of equal size. */
Status comm_for_device(Comm *world, Comm *host, const Device *device, Comm **comm);
/* Destroys the communicator, and finalises MPI if this communicator initialised it. */
void comm_destroy(Comm *comm);

#endif
