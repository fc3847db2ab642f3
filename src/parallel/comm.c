#include "parallel/comm.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

Status comm_worst(Comm *comm, Status status) {
    double worst = (double)status;
    comm->f->all_reduce_max(comm, &worst, 1);
    return (Status)worst;
}

bool comm_is_first(Comm *comm, bool mine) {
    double place = mine ? comm->size - comm->rank : 0;
    const double own = place;
    comm->f->all_reduce_max(comm, &place, 1);
    return mine && place == own;
}

int comm_sharers(Comm *comm, const Device *device) {
    const uint64_t mine = device->identity();
    if (mine == 0) return comm->local_size;
    uint64_t *all = malloc((size_t)comm->size * sizeof *all);
    CHECK(all, "out of memory");
    comm->f->all_gather(comm, &mine, all, sizeof mine);
    int sharers = 0;
    for (int rank = 0; rank < comm->size; rank++) sharers += all[rank] == mine;
    free(all);
    return sharers;
}

const char *comm_sharing(void) {
    const char *by = getenv("FLAME_SHARE_GPU");
    return by && (strcmp(by, "mpi") == 0 || strcmp(by, "nccl") == 0) ? by : NULL;
}

void comm_destroy(Comm *comm) { comm->f->destroy(comm); }
