#include "parallel/comm_over.h"

#include <stdlib.h>

static Comm *host_of(const Comm *comm) { return ((const CommOver *)comm->state)->host; }

Comm *comm_over_create(CommOver *over, const CommFunctions *functions) {
    Comm *comm = malloc(sizeof *comm);
    CHECK_MEMORY(comm, "out of memory");
    *comm = *over->host;
    comm->f = functions;
    comm->bytes_sent = 0;
    comm->state = over;
    return comm;
}

void comm_over_all_reduce_sum(Comm *comm, double *values, int64_t count) {
    host_of(comm)->f->all_reduce_sum(host_of(comm), values, count);
}

void comm_over_all_reduce_max(Comm *comm, double *values, int64_t count) {
    host_of(comm)->f->all_reduce_max(host_of(comm), values, count);
}

void comm_over_broadcast(Comm *comm, void *data, int64_t bytes, int root) {
    host_of(comm)->f->broadcast(host_of(comm), data, bytes, root);
}

void comm_over_barrier(Comm *comm) { host_of(comm)->f->barrier(host_of(comm)); }

Comm *comm_over_split(Comm *comm, int color) {
    (void)color;
    CHECK(false, "%s: split the communicator of host memory instead", comm->f->name);
    return NULL;
}
