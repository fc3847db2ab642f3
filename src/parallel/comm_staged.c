/* Collectives on device memory by way of the host: copy down, run the host communicator's collective, copy up. Slow;
 * used by a single rank (which only copies within the device), by ranks that share a GPU, and by tests. */
#include <stdlib.h>

#include "parallel/comm_over.h"

typedef struct Allocation {
    void *memory;
    int64_t bytes;
    struct Allocation *next;
} Allocation;

typedef struct Staged {
    CommOver over;
    Allocation *allocations;
    unsigned char *stage; /* staging memory, from the host communicator */
    int64_t stage_bytes;
} Staged;

static Staged *staged_of(const Comm *comm) { return comm->state; }

static void *staged_allocate(Comm *comm, int64_t bytes) {
    Staged *staged = staged_of(comm);
    Allocation *allocation = malloc(sizeof *allocation);
    CHECK_MEMORY(allocation, "out of memory");
    const int64_t size = bytes > 0 ? bytes : 1;
    void *memory = device_memory(staged->over.device, size, "parameters and gradients");
    *allocation = (Allocation){memory, size, staged->allocations};
    staged->allocations = allocation;
    return memory;
}

static void staged_release(Comm *comm, void *memory) {
    Staged *staged = staged_of(comm);
    Allocation **link = &staged->allocations;
    while (*link && (*link)->memory != memory) link = &(*link)->next;
    Allocation *allocation = *link;
    CHECK(allocation, "memory given back to a communicator that did not allocate it");
    *link = allocation->next;
    staged->over.device->release(memory, allocation->bytes);
    free(allocation);
}

static const void *staged_whole(Comm *comm, const void *memory) { return comm->size == 1 ? memory : NULL; }

/* Host staging memory of at least `bytes`; all ranks pass the same size. */
static unsigned char *stage_of(Staged *staged, int64_t bytes) {
    if (bytes <= staged->stage_bytes) return staged->stage;
    Comm *host = staged->over.host;
    if (staged->stage) host->f->release(host, staged->stage);
    staged->stage = host->f->allocate(host, bytes);
    staged->stage_bytes = bytes;
    return staged->stage;
}

static void staged_all_gather(Comm *comm, const void *send, void *receive, int64_t bytes) {
    Staged *staged = staged_of(comm);
    const Device *device = staged->over.device;
    comm->bytes_sent += (comm->size - 1) * bytes;
    if (comm->size == 1) {
        if (send != receive) device->copy(receive, bytes, send, bytes, 1, bytes);
        return;
    }
    unsigned char *stage = stage_of(staged, comm->size * bytes);
    device_download(device, stage + comm->rank * bytes, send, bytes);
    staged->over.host->f->all_gather(staged->over.host, stage + comm->rank * bytes, stage, bytes);
    device_upload(device, receive, stage, comm->size * bytes);
}

static void staged_reduce_scatter(Comm *comm, const float *send, float *receive, int64_t count) {
    Staged *staged = staged_of(comm);
    const Device *device = staged->over.device;
    const int64_t bytes = count * (int64_t)sizeof *send;
    comm->bytes_sent += (comm->size - 1) * bytes;
    if (comm->size == 1) {
        if (send != receive) device->copy(receive, bytes, send, bytes, 1, bytes);
        return;
    }
    float *stage = (float *)(void *)stage_of(staged, comm->size * bytes), *own = stage + comm->rank * count;
    device_download(device, stage, send, comm->size * bytes);
    staged->over.host->f->reduce_scatter(staged->over.host, stage, own, count);
    device_upload(device, receive, own, bytes);
}

static void staged_wait(Comm *comm) { (void)comm; }

static void staged_destroy(Comm *comm) {
    Staged *staged = staged_of(comm);
    while (staged->allocations) staged_release(comm, staged->allocations->memory);
    if (staged->stage) staged->over.host->f->release(staged->over.host, staged->stage);
    free(staged);
    free(comm);
}

static const CommFunctions staged_functions = {.name = "staged",
                                               .allocate = staged_allocate,
                                               .release = staged_release,
                                               .whole = staged_whole,
                                               .all_gather = staged_all_gather,
                                               .reduce_scatter = staged_reduce_scatter,
                                               .wait_gathers = staged_wait,
                                               .wait_reductions = staged_wait,
                                               .all_reduce_sum = comm_over_all_reduce_sum,
                                               .all_reduce_max = comm_over_all_reduce_max,
                                               .broadcast = comm_over_broadcast,
                                               .barrier = comm_over_barrier,
                                               .split = comm_over_split,
                                               .destroy = staged_destroy};

Comm *comm_staged_create(Comm *host, const Device *device) {
    Staged *staged = malloc(sizeof *staged);
    CHECK_MEMORY(staged, "out of memory");
    *staged = (Staged){.over = {host, device}};
    return comm_over_create(&staged->over, &staged_functions);
}
