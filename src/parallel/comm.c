#include "parallel/comm.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"

static bool is_among(const char *message, const char *messages, int64_t bytes) {
    for (const char *m = messages; m < messages + bytes && *m; m += strlen(m) + 1)
        if (strcmp(m, message) == 0) return true;
    return false;
}

/* Rank 0 prints the messages of the other ranks, each once. `mine`: this rank's messages, each with its terminating
 * zero, padded with zeros to `bytes`, which is the same on all ranks. Collective. */
static void print_messages(Comm *comm, const char *mine, int64_t bytes) {
    char *all = malloc((size_t)(comm->size * bytes));
    CHECK_MEMORY(all, "out of memory");
    comm->f->all_gather(comm, mine, all, bytes);
    for (int rank = 1; rank < comm->size && comm->rank == 0; rank++) {
        const char *said = all + rank * bytes;
        for (const char *m = said; m < said + bytes && *m; m += strlen(m) + 1) {
            bool known = false;
            for (int lower = 0; lower < rank && !known; lower++) known = is_among(m, all + lower * bytes, bytes);
            if (!known) log_repeat(rank, m);
        }
    }
    free(all);
}

Status comm_worst(Comm *comm, Status status) {
    int64_t bytes;
    char *messages = log_take(&bytes);
    double worst[2] = {(double)status, (double)bytes};
    comm->f->all_reduce_max(comm, worst, 2);
    const int64_t most = (int64_t)worst[1];
    if (most > 0) {
        messages = realloc(messages, (size_t)most);
        CHECK_MEMORY(messages, "out of memory");
        memset(messages + bytes, 0, (size_t)(most - bytes));
        print_messages(comm, messages, most);
    }
    free(messages);
    return (Status)worst[0];
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
    CHECK_MEMORY(all, "out of memory");
    comm->f->all_gather(comm, &mine, all, sizeof mine);
    int sharers = 0;
    for (int rank = 0; rank < comm->size; rank++) sharers += all[rank] == mine;
    free(all);
    return sharers;
}

/* Atomic, because the thread that watches the ranks reads them while they are being set. */
static _Atomic GpuSharing sharing = SHARE_NEVER;
static _Atomic double timeout = COMM_TIMEOUT;

void comm_configure(const char *share_gpu, double timeout_seconds) {
    sharing = strcmp(share_gpu, "mpi") == 0    ? SHARE_BY_MPI
              : strcmp(share_gpu, "nccl") == 0 ? SHARE_BY_NCCL
                                               : SHARE_NEVER;
    timeout = timeout_seconds;
}

CommSettings comm_settings(void) { return (CommSettings){sharing, timeout}; }

void comm_destroy(Comm *comm) { comm->f->destroy(comm); }
