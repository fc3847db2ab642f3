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

static CommSettings settings = {SHARE_NEVER, COMM_TIMEOUT};

void comm_configure(const char *share_gpu, double timeout_seconds) {
    settings.sharing = strcmp(share_gpu, "mpi") == 0    ? SHARE_BY_MPI
                       : strcmp(share_gpu, "nccl") == 0 ? SHARE_BY_NCCL
                                                        : SHARE_NEVER;
    settings.timeout_seconds = timeout_seconds;
}

CommSettings comm_settings(void) { return settings; }

void comm_destroy(Comm *comm) { comm->f->destroy(comm); }
