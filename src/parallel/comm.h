/* A communicator: the collectives the trainer needs, with NCCL's in-place rules. One static table per backend:
 *   self    one rank
 *   mpi     Open MPI between hosts, shared memory within one
 *   staged  another device's memory, by way of one of those
 *   nccl    GPUs
 * Every function is collective: all ranks call it in the same order, with the same sizes and the same places of what
 * `allocate` gave them (or all with other memory). A failed collective ends the job.
 *
 * `self` and `mpi` work on the host's memory and are done when they return. In `staged` and `nccl`, allocate, release,
 * whole, all_gather and reduce_scatter are about a device's memory. They begin after what the device was asked for
 * before; an asynchronous one goes on beside what it is asked for later, up to wait_gathers or wait_reductions. */
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
    /* Memory that collectives reach fastest (shared within a host), zeroed, 64-byte aligned; every rank asks for as
     * much. Collective. release too: no peer may still be reading. */
    void *(*allocate)(Comm *comm, int64_t bytes);
    void (*release)(Comm *comm, void *memory);
    /* What `allocate` gave to all ranks, as one array: rank r's at r * bytes rounded up to 64, this rank's is `memory`
     * itself. NULL where ranks cannot read each other's memory. Not collective: the reader sees to it that writers are
     * done. */
    const void *(*whole)(Comm *comm, const void *memory);
    /* receive[r*bytes ...] = send of rank r. In place when send = receive + rank*bytes. */
    void (*all_gather)(Comm *comm, const void *send, void *receive, int64_t bytes);
    /* receive[i] = sum over ranks, in rank order, of send_r[rank*count + i]. In place when receive = send + rank*count.
     */
    void (*reduce_scatter)(Comm *comm, const float *send, float *receive, int64_t count);
    /* What the device is asked for from here on sees the result of every all_gather (reduce_scatter) so far, and may
     * write where it read. The host waits for nothing. */
    void (*wait_gathers)(Comm *comm);
    void (*wait_reductions)(Comm *comm);
    /* The device has just been asked to replay a recording with collectives in it: a hang of `subject` is noticed as
     * one of a collective's is. NULL where collectives cannot be recorded. */
    void (*watch_replay)(Comm *comm, const char *subject);
    /* values[i] = sum (or maximum) over ranks, in rank order: the same bits everywhere. */
    void (*all_reduce_sum)(Comm *comm, double *values, int64_t count);
    void (*all_reduce_max)(Comm *comm, double *values, int64_t count);
    void (*broadcast)(Comm *comm, void *data, int64_t bytes, int root);
    void (*barrier)(Comm *comm);
    /* The ranks that give the same color, in the order they have here. The caller destroys it, before `comm`. Only of
     * communicators for the host's memory. */
    Comm *(*split)(Comm *comm, int color);
    void (*destroy)(Comm *comm);
} CommFunctions;

struct Comm {
    const CommFunctions *f;
    int rank, size, local_rank, local_size;
    int64_t bytes_sent;  /* by this rank in all_gather and reduce_scatter: what leaves it, or its peers read of it */
    const char *subject; /* whose memory the next collectives are about, for messages: a unit's name */
    const char *ranks;   /* what follows it where these are not all ranks: " over the replicas"; else "" */
    void *state;
};

/* The communicator of this process: mpi if it was started by mpirun with more than one rank, else self (MPI is then not
 * even initialised, no daemon is needed). Explains and refuses what looks like a launch without PMI (SLURM_NTASKS > 1
 * but one rank). */
Status comm_create(Comm **comm);
Comm *comm_self_create(void);
/* The ranks of MPI_COMM_WORLD, MPI initialised if it is not. share_memory false: only messages, as between hosts. */
Comm *comm_mpi_create(bool share_memory);
/* The ranks of `host`, which must outlive it, for memory of `device`: what collectives move is copied to the host and
 * back. The numbers are those of `host` bit for bit. */
Comm *comm_staged_create(Comm *host, const Device *device);
/* The same for GPUs, by NCCL. share_gpu: several ranks have the same one (for tests). BAD_INPUT if NCCL cannot be
 * opened, or cannot connect the ranks: logged once in `world`, whose ranks all call this, each with its part of them.
 */
Status comm_nccl_create(Comm *world, Comm *host, const Device *device, bool share_gpu, Comm **comm);
/* The worst status of all ranks, so that they stop together. Collective. */
Status comm_worst(Comm *comm, Status status);
/* Whether this is the first of the ranks for which `mine` is true: the one that says what is wrong. Collective. */
bool comm_is_first(Comm *comm, bool mine);
/* How many ranks have the device that this rank has. Collective. */
int comm_sharers(Comm *comm, const Device *device);
/* What FLAME_SHARE_GPU says of ranks that share a GPU: that they speak by mpi, or by nccl; NULL: it is forbidden. */
const char *comm_sharing(void);
/* The communicator for memory of `device` over the ranks of `host`: `host` itself, or a new one for the caller to
 * destroy before it. `host` is a part of `world`, whose ranks all call this with parts of one size. Collective. */
Status comm_for_device(Comm *world, Comm *host, const Device *device, Comm **comm);
/* Ends MPI if comm_mpi_create began it. */
void comm_destroy(Comm *comm);

#endif
