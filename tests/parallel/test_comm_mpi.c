/* Every collective on any number of ranks, with shared memory and with messages alone, against the data that each rank
 * knows the others to send. Started by mpirun; a failed check ends every rank. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "parallel/comm.h"

/* What rank `rank` holds at element i: of very different sizes, so that the order of a sum shows in its bits. */
static float value_of(int rank, int64_t i) {
    const uint32_t hash = (uint32_t)(i * 2654435761u + (uint32_t)rank * 40503u) ^ (uint32_t)(i >> 7);
    return ldexpf((float)(hash % 2001) - 1000.0f, (int)(hash >> 16) % 24 - 12);
}

static unsigned char byte_of(int rank, int64_t i) { return (unsigned char)(i * 31 + rank * 7 + (i >> 8)); }

static void *allocate(Comm *comm, int64_t bytes, bool of_comm) {
    void *memory = of_comm ? comm->f->allocate(comm, bytes) : calloc(1, (size_t)bytes);
    CHECK(memory, "out of memory");
    return memory;
}

static void release(Comm *comm, void *memory, bool of_comm) {
    if (of_comm)
        comm->f->release(comm, memory);
    else
        free(memory);
}

static void check_all_gather(Comm *comm, int64_t bytes, bool of_comm, bool in_place) {
    unsigned char *receive = allocate(comm, comm->size * bytes, of_comm), *own = allocate(comm, bytes, of_comm);
    unsigned char *send = in_place ? receive + comm->rank * bytes : own;
    for (int round = 0; round < 2;
         round++) { /* the second round fails if a fast rank overwrites data that a slow one still reads */
        for (int64_t i = 0; i < bytes; i++) send[i] = byte_of(comm->rank + round, i);
        const int64_t before = comm->bytes_sent;
        comm->f->all_gather(comm, send, receive, bytes);
        CHECK(comm->bytes_sent - before == (comm->size - 1) * bytes, "bytes sent of an all-gather");
        for (int64_t i = 0; i < comm->size * bytes; i++)
            CHECK(receive[i] == byte_of((int)(i / bytes) + round, i % bytes), "all_gather of %lld bytes: byte %lld",
                  (long long)bytes, (long long)i);
    }
    release(comm, own, of_comm);
    release(comm, receive, of_comm);
}

static void check_reduce_scatter(Comm *comm, int64_t count, bool of_comm, bool in_place) {
    const int64_t all = comm->size * count, size = (int64_t)sizeof(float);
    float *send = allocate(comm, all * size, of_comm), *own = allocate(comm, count * size, of_comm);
    float *receive = in_place ? send + comm->rank * count : own;
    for (int round = 0; round < 2;
         round++) { /* the second round fails if a fast rank overwrites data that a slow one still reads */
        for (int64_t i = 0; i < all; i++) send[i] = value_of(comm->rank + round, i);
        const int64_t before = comm->bytes_sent;
        comm->f->reduce_scatter(comm, send, receive, count);
        CHECK(comm->bytes_sent - before == (comm->size - 1) * count * size, "bytes sent of a reduce-scatter");
        for (int64_t i = 0; i < count; i++) {
            float sum = value_of(round, comm->rank * count + i);
            for (int r = 1; r < comm->size; r++) sum += value_of(r + round, comm->rank * count + i);
            CHECK(receive[i] == sum, "reduce_scatter of %lld: element %lld is %g, not %g", (long long)count,
                  (long long)i, (double)receive[i], (double)sum);
        }
    }
    release(comm, own, of_comm);
    release(comm, send, of_comm);
}

static void check_all_reduce(Comm *comm) {
    double values[5], sum[5], maximum[5];
    for (int i = 0; i < 5; i++) {
        values[i] = (double)value_of(comm->rank, i) / 1.1;
        sum[i] = maximum[i] = (double)value_of(0, i) / 1.1;
        for (int r = 1; r < comm->size; r++) {
            sum[i] += (double)value_of(r, i) / 1.1;
            maximum[i] = fmax(maximum[i], (double)value_of(r, i) / 1.1);
        }
    }
    double copy[5];
    memcpy(copy, values, sizeof copy);
    comm->f->all_reduce_sum(comm, values, 5);
    CHECK(memcmp(values, sum, sizeof sum) == 0, "all_reduce_sum");
    comm->f->all_reduce_max(comm, copy, 5);
    CHECK(memcmp(copy, maximum, sizeof maximum) == 0, "all_reduce_max");
    copy[0] = comm->rank == comm->size / 2 ? NAN : 1;
    comm->f->all_reduce_max(comm, copy, 1);
    CHECK(isnan(copy[0]), "a NaN on one rank must reach all");
}

static void check_broadcast(Comm *comm) {
    for (int root = 0; root < comm->size; root++)
        for (int64_t bytes = 1; bytes < 200; bytes += 63) {
            unsigned char data[200];
            for (int64_t i = 0; i < bytes; i++) data[i] = byte_of(comm->rank, i);
            comm->f->broadcast(comm, data, bytes, root);
            for (int64_t i = 0; i < bytes; i++) CHECK(data[i] == byte_of(root, i), "broadcast from %d", root);
        }
}

/* Memory is zeroed and, where it is shared, next to that of the other ranks. */
static void check_whole(Comm *comm, bool share_memory) {
    const int64_t parts[] = {64, 4096, 64 * 1001};
    for (int p = 0; p < 3; p++) {
        unsigned char *own = comm->f->allocate(comm, parts[p]);
        for (int64_t i = 0; i < parts[p]; i++) CHECK(own[i] == 0, "memory is not zeroed");
        comm->f->barrier(comm);
        for (int64_t i = 0; i < parts[p]; i++) own[i] = byte_of(comm->rank, i);
        comm->f->barrier(comm);
        const unsigned char *whole = comm->f->whole(comm, own);
        CHECK((whole != NULL) == (share_memory || comm->size == 1), "whole");
        for (int64_t i = 0; whole && i < comm->size * parts[p]; i++)
            CHECK(whole[i] == byte_of((int)(i / parts[p]), i % parts[p]), "whole: byte %lld", (long long)i);
        comm->f->release(comm, own);
    }
}

static void check_everything(Comm *comm, bool share_memory) {
    const int64_t counts[] = {1, 16, 33, 16384, 70001};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
        for (int bits = 0; bits < 4; bits++) {
            check_all_gather(comm, counts[c], bits & 1, bits & 2);
            check_reduce_scatter(comm, counts[c], bits & 1, bits & 2);
        }
    check_all_reduce(comm);
    check_broadcast(comm);
    check_whole(comm, share_memory);
}

static double processor_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* A rank that waits for others does not use its processor. */
static void check_waiting(Comm *comm) {
    const double start = processor_seconds();
    double sum = 1;
    if (comm->rank == 0) nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);
    comm->f->barrier(comm);
    if (comm->rank == comm->size - 1) nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);
    comm->f->all_reduce_sum(comm, &sum, 1);
    const double used = processor_seconds() - start;
    CHECK(used < 0.05, "rank %d used %.2f s of its processor to wait for a second", comm->rank, used);
}

static void check_staged(Comm *host) {
    Comm *staged = comm_staged_create(host, device_cpu());
    CHECK(staged->rank == host->rank && staged->size == host->size, "a staged communicator has its host's ranks");
    check_everything(staged, false);
    comm_destroy(staged);
}

/* Groups of `shards` neighbours, and the ranks that have the same place in each: collectives of several groups at once,
 * each with ranks and memory of its own. */
static void check_split(Comm *comm, int shards, bool share_memory) {
    const int colors[2] = {comm->rank / shards, comm->rank % shards}, ranks[2] = {colors[1], colors[0]};
    const int sizes[2] = {shards, comm->size / shards};
    Comm *part[2];
    for (int i = 0; i < 2; i++) {
        part[i] = comm->f->split(comm, colors[i]);
        CHECK(part[i]->rank == ranks[i] && part[i]->size == sizes[i], "part %d: rank %d of %d", i, part[i]->rank,
              part[i]->size);
        double members = comm->rank;
        part[i]->f->all_reduce_sum(part[i], &members, 1);
        const int first = i == 0 ? colors[0] * shards : colors[1], step = i == 0 ? 1 : shards;
        CHECK(members == sizes[i] * first + step * sizes[i] * (sizes[i] - 1) / 2.0, "the ranks of part %d", i);
    }
    for (int i = 0; i < 2; i++)
        if (sizes[i] < comm->size) check_everything(part[i], share_memory);
    for (int i = 0; i < 2; i++) comm_destroy(part[i]);
}

int main(void) {
    Comm *outer = comm_mpi_create(false), *comm = NULL; /* MPI is finalised with the first communicator */
    for (int share_memory = 0; share_memory < 2; share_memory++) {
        comm = comm_mpi_create(share_memory);
        check_everything(comm, share_memory);
        check_staged(comm);
        if (share_memory) check_waiting(comm);
        for (int shards = 1; shards <= comm->size; shards++)
            if (comm->size % shards == 0) check_split(comm, shards, share_memory);
        comm_destroy(comm);
    }
    CHECK(comm_create(&comm) == OK && comm->rank == outer->rank && comm->size == outer->size, "comm_create");
    check_everything(comm, true);
    comm_destroy(comm);
    comm_destroy(outer);
    return 0;
}
