/* A communicator whose ranks are threads of one process: any number of ranks without mpirun, all of which end with
 * the process. */
#ifndef FLAME_TESTS_CHECKPOINT_THREAD_COMM_H
#define FLAME_TESTS_CHECKPOINT_THREAD_COMM_H

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "parallel/comm.h"

enum { THREAD_RANKS = 8 };

typedef struct ThreadGroup {
    pthread_barrier_t barrier;
    const void *send[THREAD_RANKS];
} ThreadGroup;

static inline void thread_barrier(Comm *comm) { pthread_barrier_wait(&((ThreadGroup *)comm->state)->barrier); }

static inline void thread_all_gather(Comm *comm, const void *send, void *receive, int64_t bytes) {
    ThreadGroup *group = comm->state;
    group->send[comm->rank] = send;
    thread_barrier(comm);
    for (int r = 0; r < comm->size; r++) memmove((char *)receive + r * bytes, group->send[r], (size_t)bytes);
    thread_barrier(comm);
}

static inline void thread_all_reduce_max(Comm *comm, double *values, int64_t count) {
    double *all = malloc((size_t)(comm->size * count) * sizeof *all);
    thread_all_gather(comm, values, all, count * (int64_t)sizeof *all);
    for (int r = 0; r < comm->size; r++)
        for (int64_t i = 0; i < count; i++)
            if (all[r * count + i] > values[i]) values[i] = all[r * count + i];
    free(all);
}

static inline void thread_broadcast(Comm *comm, void *data, int64_t bytes, int root) {
    ThreadGroup *group = comm->state;
    if (comm->rank == root) group->send[root] = data;
    thread_barrier(comm);
    if (comm->rank != root) memcpy(data, group->send[root], (size_t)bytes);
    thread_barrier(comm);
}

static const CommFunctions thread_functions = {.name = "thread",
                                               .all_gather = thread_all_gather,
                                               .all_reduce_max = thread_all_reduce_max,
                                               .broadcast = thread_broadcast,
                                               .barrier = thread_barrier};

typedef struct ThreadRank {
    Comm comm;
    void (*body)(Comm *comm, void *argument);
    void *argument;
} ThreadRank;

static inline void *thread_start(void *argument) {
    ThreadRank *rank = argument;
    rank->body(&rank->comm, rank->argument);
    return NULL;
}

/* Runs body on `size` ranks and waits for all. */
static inline void thread_run(int size, void (*body)(Comm *comm, void *argument), void *argument) {
    ThreadGroup group;
    ThreadRank ranks[THREAD_RANKS];
    pthread_t threads[THREAD_RANKS];
    pthread_barrier_init(&group.barrier, NULL, (unsigned)size);
    for (int r = 0; r < size; r++) {
        ranks[r] = (ThreadRank){
            .comm =
                {.f = &thread_functions, .rank = r, .size = size, .local_rank = r, .local_size = size, .state = &group},
            .body = body,
            .argument = argument};
        CHECK(pthread_create(&threads[r], NULL, thread_start, &ranks[r]) == 0, "no thread");
    }
    for (int r = 0; r < size; r++) pthread_join(threads[r], NULL);
    pthread_barrier_destroy(&group.barrier);
}

#endif
