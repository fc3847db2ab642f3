/* A collective runs at its wait. Until then its output is filled with NaN, and its input must not change, so that
 * reading or writing too early is detected. */
#include "support/comm_late.h"

#include <stdlib.h>
#include <string.h>

#include "parallel/comm_over.h"

enum { BEGUN = 4 };

typedef struct Begun {
    const void *send;
    void *receive, *sent; /* sent: a copy of what is sent */
    int64_t send_bytes, size;
} Begun;

typedef struct Queue {
    Begun item[BEGUN];
    int count;
} Queue;

typedef struct Late {
    CommOver over;
    Queue gathers, reductions;
} Late;

static Late *late_of(const Comm *comm) { return comm->state; }
static Comm *host_of(const Comm *comm) { return late_of(comm)->over.host; }

static void *late_allocate(Comm *comm, int64_t bytes) { return host_of(comm)->f->allocate(host_of(comm), bytes); }
static void late_release(Comm *comm, void *memory) { host_of(comm)->f->release(host_of(comm), memory); }
static const void *late_whole(Comm *comm, const void *memory) { return host_of(comm)->f->whole(host_of(comm), memory); }

static void begin(Queue *queue, const void *send, int64_t send_bytes, void *receive, int64_t receive_bytes,
                  int64_t size) {
    CHECK(queue->count < BEGUN, "too many collectives are begun without a wait");
    Begun *begun = &queue->item[queue->count++];
    *begun = (Begun){send, receive, malloc((size_t)send_bytes + 1), send_bytes, size};
    CHECK(begun->sent, "out of memory");
    memcpy(begun->sent, send, (size_t)send_bytes);
    memset(receive, 0xff, (size_t)receive_bytes);
}

/* Restores the input of a collective that works in place; elsewhere checks that the input is unchanged. */
static void restore(const Begun *begun, bool in_place) {
    CHECK(in_place || memcmp(begun->send, begun->sent, (size_t)begun->send_bytes) == 0,
          "what a collective sends has changed before it was waited for");
    memcpy((void *)begun->send, begun->sent, (size_t)begun->send_bytes);
    free(begun->sent);
}

static void late_all_gather(Comm *comm, const void *send, void *receive, int64_t bytes) {
    comm->bytes_sent += (comm->size - 1) * bytes;
    begin(&late_of(comm)->gathers, send, bytes, receive, comm->size * bytes, bytes);
}

static void late_reduce_scatter(Comm *comm, const float *send, float *receive, int64_t count) {
    const int64_t bytes = count * (int64_t)sizeof *send;
    comm->bytes_sent += (comm->size - 1) * bytes;
    begin(&late_of(comm)->reductions, send, comm->size * bytes, receive, bytes, count);
}

static void late_wait_gathers(Comm *comm) {
    Queue *queue = &late_of(comm)->gathers;
    for (int i = 0; i < queue->count; i++) {
        const Begun *b = &queue->item[i];
        restore(b, b->send == (char *)b->receive + comm->rank * b->size);
        host_of(comm)->f->all_gather(host_of(comm), b->send, b->receive, b->size);
    }
    queue->count = 0;
}

static void late_wait_reductions(Comm *comm) {
    Queue *queue = &late_of(comm)->reductions;
    for (int i = 0; i < queue->count; i++) {
        const Begun *b = &queue->item[i];
        restore(b, b->receive == (float *)b->send + comm->rank * b->size);
        host_of(comm)->f->reduce_scatter(host_of(comm), b->send, b->receive, b->size);
    }
    queue->count = 0;
}

static void late_destroy(Comm *comm) {
    CHECK(late_of(comm)->reductions.count == 0, "a reduction was never waited for");
    late_wait_gathers(comm);
    free(comm->state);
    free(comm);
}

static const CommFunctions late_functions = {.name = "late",
                                             .asynchronous = true,
                                             .allocate = late_allocate,
                                             .release = late_release,
                                             .whole = late_whole,
                                             .all_gather = late_all_gather,
                                             .reduce_scatter = late_reduce_scatter,
                                             .wait_gathers = late_wait_gathers,
                                             .wait_reductions = late_wait_reductions,
                                             .all_reduce_sum = comm_over_all_reduce_sum,
                                             .all_reduce_max = comm_over_all_reduce_max,
                                             .broadcast = comm_over_broadcast,
                                             .barrier = comm_over_barrier,
                                             .split = comm_over_split,
                                             .destroy = late_destroy};

Comm *comm_late_create(Comm *host) {
    Late *late = calloc(1, sizeof *late);
    CHECK(late, "out of memory");
    late->over = (CommOver){host, device_cpu()};
    return comm_over_create(&late->over, &late_functions);
}
