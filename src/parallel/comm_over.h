/* What the communicators for device memory (nccl, staged) have in common: another communicator provides their ranks and
 * their collectives on host memory. */
#ifndef FLAME_PARALLEL_COMM_OVER_H
#define FLAME_PARALLEL_COMM_OVER_H

#include "parallel/comm.h"

/* The first member of such a communicator's state. */
typedef struct CommOver {
    Comm *host;
    const Device *device;
} CommOver;

/* A new communicator with the ranks of over->host and `over` as its state. */
Comm *comm_over_create(CommOver *over, const CommFunctions *functions);

void comm_over_all_reduce_sum(Comm *comm, double *values, int64_t count);
void comm_over_all_reduce_max(Comm *comm, double *values, int64_t count);
void comm_over_broadcast(Comm *comm, void *data, int64_t bytes, int root);
void comm_over_barrier(Comm *comm);
Comm *comm_over_split(Comm *comm, int color);

#endif
