/* A communicator: the collectives the trainer needs, with NCCL's in-place rules. One static table per backend:
 *   self  one rank          mpi  Open MPI between hosts, shared memory within one          nccl  (GPU)
 * Every function is collective: all ranks call it in the same order, with the same sizes and the same places of what
 * `allocate` gave them (or all with other memory). A failed collective ends the job. */
#ifndef FLAME_PARALLEL_COMM_H
#define FLAME_PARALLEL_COMM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/check.h"

typedef struct Comm Comm;

typedef struct CommFunctions {
    const char *name;
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
    /* values[i] = sum (or maximum) over ranks, in rank order: the same bits everywhere. */
    void (*all_reduce_sum)(Comm *comm, double *values, int64_t count);
    void (*all_reduce_max)(Comm *comm, double *values, int64_t count);
    void (*broadcast)(Comm *comm, void *data, int64_t bytes, int root);
    void (*barrier)(Comm *comm);
    void (*destroy)(Comm *comm);
} CommFunctions;

struct Comm {
    const CommFunctions *f;
    int rank, size, local_rank, local_size;
    int64_t
        bytes_sent; /* by this rank: what leaves it, or what its peers read of it, for gathering and reduce_scatter */
    void *state;
};

/* The communicator of this process: mpi if it was started by mpirun with more than one rank, else self (MPI is then not
 * even initialised, no daemon is needed). Explains and refuses what looks like a launch without PMI (SLURM_NTASKS > 1
 * but one rank). */
Status comm_create(Comm **comm);
Comm *comm_self_create(void);
/* The ranks of MPI_COMM_WORLD, MPI initialised if it is not. share_memory false: only messages, as between hosts. */
Comm *comm_mpi_create(bool share_memory);
/* Ends MPI if comm_mpi_create began it. */
void comm_destroy(Comm *comm);

#endif
