/* The communicator of a single process. */
#include <stdlib.h>
#include <string.h>

#include "parallel/comm.h"
#include "base/memory.h"
#include "parallel/comm_memory.h"

static void *self_allocate(Comm *comm, int64_t bytes) {
    CommMemory *list = comm->state;
    const CommMemory *entry = comm_memory_map(&list, -1, 1, 0, comm_memory_part(bytes));
    if (!entry) memory_refused(bytes, COMM_MEMORY_WHAT, COMM_MEMORY_ADVICE);
    comm->state = list;
    return entry->base;
}

static void self_release(Comm *comm, void *memory) {
    CommMemory *list = comm->state;
    comm_memory_unmap(&list, memory);
    comm->state = list;
}

static const void *self_whole(Comm *comm, const void *memory) {
    (void)comm;
    return memory;
}

static void self_all_gather(Comm *comm, const void *send, void *receive, int64_t bytes) {
    (void)comm;
    if (send != receive) memcpy(receive, send, (size_t)bytes);
}

static void self_reduce_scatter(Comm *comm, const float *send, float *receive, int64_t count) {
    (void)comm;
    if (send != receive) memcpy(receive, send, (size_t)count * sizeof *send);
}

static void self_wait(Comm *comm) { (void)comm; }

static void self_all_reduce(Comm *comm, double *values, int64_t count) { (void)comm, (void)values, (void)count; }

static void self_broadcast(Comm *comm, void *data, int64_t bytes, int root) {
    (void)comm, (void)data, (void)bytes, (void)root;
}

static void self_barrier(Comm *comm) { (void)comm; }

static Comm *self_split(Comm *comm, int color) {
    (void)comm, (void)color;
    return comm_self_create();
}

static void self_destroy(Comm *comm) {
    while (comm->state) self_release(comm, comm_memory_own(comm->state));
    free(comm);
}

static const CommFunctions self_functions = {.name = "self",
                                             .allocate = self_allocate,
                                             .release = self_release,
                                             .whole = self_whole,
                                             .all_gather = self_all_gather,
                                             .reduce_scatter = self_reduce_scatter,
                                             .wait_gathers = self_wait,
                                             .wait_reductions = self_wait,
                                             .all_reduce_sum = self_all_reduce,
                                             .all_reduce_max = self_all_reduce,
                                             .broadcast = self_broadcast,
                                             .barrier = self_barrier,
                                             .split = self_split,
                                             .destroy = self_destroy};

Comm *comm_self_create(void) {
    Comm *comm = calloc(1, sizeof *comm);
    CHECK_MEMORY(comm, "out of memory");
    *comm = (Comm){.f = &self_functions, .size = 1, .local_size = 1, .ranks = ""};
    return comm;
}
