/* Ranks started by mpirun or srun. On one host, ranks map each other's allocations and read them between two barriers;
 * between hosts they send messages. Both sum in rank order and give the same bits. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <mpi.h>
#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "parallel/comm.h"
#include "parallel/comm_meeting.h"
#include "parallel/comm_memory.h"
#include "parallel/comm_watch.h"
#include "parallel/mpi_memory.h"

typedef struct Mpi {
    MPI_Comm ranks;
    bool share_memory; /* share memory if that is possible */
    bool shares;       /* every rank is on this host and memory is shared */
    bool began_mpi;    /* this communicator initialised MPI and must finalise it */
    bool watched;      /* this communicator began watching the ranks */
    CommMemory *memory;
    const CommMemory *board; /* if `shares`: each rank's part is a Meeting (only rank 0's is used) and BOARD bytes */
} Mpi;

enum { BOARD = 1 << 16 };

static Mpi *mpi_of(const Comm *comm) { return comm->state; }

static void mpi_barrier(Comm *comm) {
    const Mpi *mpi = mpi_of(comm);
    if (mpi->board)
        meeting_wait((Meeting *)mpi->board->base, comm->size);
    else
        MPI_Barrier(mpi->ranks);
}

/* The BOARD bytes of rank `rank`. */
static unsigned char *board_of(const Comm *comm, int rank) {
    const CommMemory *board = mpi_of(comm)->board;
    return board->base + rank * board->part_bytes + sizeof(Meeting);
}

/* A number of bytes as an MPI count, which is an int: `count` items of a larger `type`. */
typedef struct Items {
    MPI_Datatype type;
    int count;
} Items;

static Items items_of(int64_t bytes) {
    const int64_t size = bytes % 32 == 0 ? 32 : 1;
    CHECK(bytes / size <= INT_MAX, "a message of %lld bytes", (long long)bytes);
    Items items = {MPI_BYTE, (int)(bytes / size)};
    if (size > 1) {
        MPI_Type_contiguous((int)size, MPI_BYTE, &items.type);
        MPI_Type_commit(&items.type);
    }
    return items;
}

static void items_free(Items *items) {
    if (items->type != MPI_BYTE) MPI_Type_free(&items->type);
}

/* An anonymous file that the first of `ranks` creates and its peers open through /proc. All `ranks` are on this host.
 * -1 if that fails. */
static int shared_file(MPI_Comm ranks, int rank, int64_t bytes) {
    const int own = rank == 0 ? comm_memory_file(bytes) : -1;
    CommMemoryName name = comm_memory_name(own);
    MPI_Bcast(&name, sizeof name, MPI_BYTE, 0, ranks);
    return rank == 0 ? own : comm_memory_open(&name);
}

/* The ranks on this rank's host. The caller frees the MPI communicator. */
static MPI_Comm local_ranks(Comm *comm) {
    MPI_Comm local;
    MPI_Comm_split_type(mpi_of(comm)->ranks, MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &local);
    return local;
}

static bool everyone(Comm *comm, bool mine) {
    int all = mine;
    MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_INT, MPI_LAND, mpi_of(comm)->ranks);
    return all;
}

/* Maps memory that all ranks share. NULL on every rank if any of them cannot. */
static void *map_shared(Comm *comm, int64_t part_bytes) {
    Mpi *mpi = mpi_of(comm);
    const int file = shared_file(mpi->ranks, comm->rank, comm->size * part_bytes);
    CommMemory *entry = file >= 0 ? comm_memory_map(&mpi->memory, file, comm->size, comm->rank, part_bytes) : NULL;
    const bool all = everyone(comm, entry != NULL);
    if (file >= 0) close(file);
    if (all) return comm_memory_own(entry);
    if (entry) comm_memory_unmap(&mpi->memory, comm_memory_own(entry));
    return NULL;
}

static void *mpi_allocate(Comm *comm, int64_t bytes) {
    Mpi *mpi = mpi_of(comm);
    const int64_t part_bytes = comm_memory_part(bytes);
    void *shared = mpi->shares ? map_shared(comm, part_bytes) : NULL;
    if (shared) return shared;
    const CommMemory *entry = comm_memory_map(&mpi->memory, -1, 1, 0, part_bytes);
    if (!entry) memory_refused(bytes, COMM_MEMORY_WHAT, COMM_MEMORY_ADVICE);
    return entry->base;
}

static void mpi_release(Comm *comm, void *memory) {
    mpi_barrier(comm);
    comm_memory_unmap(&mpi_of(comm)->memory, memory);
}

/* The entry that holds [memory, memory + bytes) and that peers can read, or NULL. */
static const CommMemory *shared_entry(Comm *comm, const void *memory, int64_t bytes) {
    const CommMemory *entry = comm_memory_find(mpi_of(comm)->memory, memory, bytes);
    return entry && entry->parts == comm->size ? entry : NULL;
}

/* The address of rank `rank`'s counterpart of `memory`. */
static const void *peer_of(const CommMemory *entry, const void *memory, int rank) {
    return (const unsigned char *)memory + (rank - entry->mine) * entry->part_bytes;
}

static const void *mpi_whole(Comm *comm, const void *memory) {
    const CommMemory *entry = shared_entry(comm, memory, 1);
    CHECK(!entry || comm_memory_own(entry) == memory, "not the start of an allocation");
    return entry ? entry->base : NULL;
}

enum { PIECE = 1 << 16 }; /* bytes a thread copies or sums at a time; fits the L1 cache */

static int64_t pieces_of(int64_t bytes) { return (bytes + PIECE - 1) / PIECE; }
static int64_t piece_size(int64_t bytes, int64_t i) { return bytes - i * PIECE < PIECE ? bytes - i * PIECE : PIECE; }

/* Copies rank r's bytes, at `send` + r * step of its memory, for all r. */
static void copy_from_peers(const CommMemory *entry, const unsigned char *send, int64_t step, unsigned char *receive,
                            int64_t bytes) {
    const int64_t pieces = pieces_of(bytes);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < entry->parts * pieces; i++) {
        const int rank = (int)(i / pieces);
        const int64_t at = i % pieces * PIECE;
        const unsigned char *from = (const unsigned char *)peer_of(entry, send, rank) + rank * step;
        unsigned char *to = receive + rank * bytes;
        if (from != to) memcpy(to + at, from + at, (size_t)piece_size(bytes, i % pieces));
    }
}

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* All-gather from any memory, for small data and at the start. */
static void gather(Comm *comm, const void *send, void *receive, int64_t bytes) {
    if (!mpi_of(comm)->board) {
        Items items = items_of(bytes);
        MPI_Allgather(send == (unsigned char *)receive + comm->rank * bytes ? MPI_IN_PLACE : send, items.count,
                      items.type, receive, items.count, items.type, mpi_of(comm)->ranks);
        items_free(&items);
        return;
    }
    for (int64_t at = 0; at < bytes; at += BOARD) {
        const size_t part = (size_t)smaller(bytes - at, BOARD);
        memcpy(board_of(comm, comm->rank), (const unsigned char *)send + at, part);
        mpi_barrier(comm);
        for (int r = 0; r < comm->size; r++) memcpy((unsigned char *)receive + r * bytes + at, board_of(comm, r), part);
        mpi_barrier(comm);
    }
}

static void mpi_all_gather(Comm *comm, const void *send, void *receive, int64_t bytes) {
    comm->bytes_sent += (comm->size - 1) * bytes;
    const bool in_place = send == (unsigned char *)receive + comm->rank * bytes;
    const void *first = in_place ? receive : send; /* the same offset on every rank */
    const CommMemory *entry = shared_entry(comm, first, in_place ? comm->size * bytes : bytes);
    if (entry) {
        mpi_barrier(comm);
        copy_from_peers(entry, first, in_place ? bytes : 0, receive, bytes);
        mpi_barrier(comm);
        return;
    }
    gather(comm, send, receive, bytes);
}

/* to[i] = sum over ranks, in rank order, of from_r[i]. `to` may be one of the inputs. */
static void sum_piece(const float *const from[], int ranks, float *to, int64_t count) {
    float sum[PIECE / sizeof(float)];
    memcpy(sum, from[0], (size_t)count * sizeof *sum);
    for (int r = 1; r < ranks; r++) {
        const float *other = from[r];
#pragma omp simd
        for (int64_t i = 0; i < count; i++) sum[i] += other[i];
    }
    memcpy(to, sum, (size_t)count * sizeof *sum);
}

static void sum_peers(const CommMemory *entry, const float *send, float *receive, int64_t count) {
    const int64_t bytes = count * (int64_t)sizeof(float);
    const float *own = send + entry->mine * count;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < pieces_of(bytes); i++) {
        const int64_t at = i * (PIECE / (int64_t)sizeof(float));
        const float *from[entry->parts];
        for (int r = 0; r < entry->parts; r++) from[r] = (const float *)peer_of(entry, own, r) + at;
        sum_piece(from, entry->parts, receive + at, piece_size(bytes, i) / (int64_t)sizeof(float));
    }
}

enum { MESSAGE = 1 << 16 }; /* floats of a message between hosts */

/* Every rank sends each peer its part, piece by piece to bound the memory, and sums what it receives in rank order. */
static void sum_messages(Comm *comm, const float *send, float *receive, int64_t count) {
    const int64_t length = count < MESSAGE ? count : MESSAGE;
    const size_t bytes = (size_t)(comm->size * length) * sizeof(float);
    float *buffer = malloc(bytes);
    if (!buffer) memory_refused((int64_t)bytes, "the buffer of a reduce-scatter", NOTHING_LESS);
    MPI_Request *request = malloc((size_t)(2 * comm->size) * sizeof(MPI_Request));
    const float **from = malloc((size_t)comm->size * sizeof *from);
    CHECK_MEMORY(request && from, "out of memory");
    for (int64_t at = 0; at < count; at += length) {
        const int64_t n = count - at < length ? count - at : length;
        int requests = 0;
        for (int step = 0; step < comm->size; step++) { /* ranks start with different peers */
            const int peer = (comm->rank + step) % comm->size;
            const float *to_peer = send + peer * count + at;
            from[peer] = peer == comm->rank ? to_peer : buffer + peer * length;
            if (peer == comm->rank) continue;
            MPI_Irecv(buffer + peer * length, (int)n, MPI_FLOAT, peer, 0, mpi_of(comm)->ranks, &request[requests++]);
            MPI_Isend(to_peer, (int)n, MPI_FLOAT, peer, 0, mpi_of(comm)->ranks, &request[requests++]);
        }
        MPI_Waitall(requests, request, MPI_STATUSES_IGNORE);
        for (int64_t i = 0; i < n; i += PIECE / (int64_t)sizeof(float)) {
            const float *piece[comm->size];
            for (int r = 0; r < comm->size; r++) piece[r] = from[r] + i;
            sum_piece(piece, comm->size, receive + at + i,
                      piece_size((n - i) * (int64_t)sizeof(float), 0) / (int64_t)sizeof(float));
        }
    }
    free(buffer);
    free(request);
    free(from);
}

static void mpi_reduce_scatter(Comm *comm, const float *send, float *receive, int64_t count) {
    comm->bytes_sent += (comm->size - 1) * count * (int64_t)sizeof(float);
    const CommMemory *entry = shared_entry(comm, send, comm->size * count * (int64_t)sizeof(float));
    if (!entry) {
        sum_messages(comm, send, receive, count);
        return;
    }
    mpi_barrier(comm);
    sum_peers(entry, send, receive, count);
    mpi_barrier(comm);
}

static void mpi_wait(Comm *comm) { (void)comm; }

/* Gathers the values of all ranks, to combine them in rank order; MPI_Reduce promises no order. */
static double *gather_values(Comm *comm, const double *values, int64_t count) {
    double *all = malloc((size_t)(count * comm->size) * sizeof *all);
    CHECK_MEMORY(all, "out of memory");
    gather(comm, values, all, count * (int64_t)sizeof *all);
    return all;
}

static void mpi_all_reduce_sum(Comm *comm, double *values, int64_t count) {
    double *all = gather_values(comm, values, count);
    for (int64_t i = 0; i < count; i++) {
        values[i] = all[i];
        for (int r = 1; r < comm->size; r++) values[i] += all[r * count + i];
    }
    free(all);
}

/* If a value is NaN on any rank, its maximum is NaN on all. */
static void mpi_all_reduce_max(Comm *comm, double *values, int64_t count) {
    double *all = gather_values(comm, values, count);
    for (int64_t i = 0; i < count; i++) {
        values[i] = all[i];
        for (int r = 1; r < comm->size; r++) {
            const double other = all[r * count + i];
            if (other > values[i] || other != other) values[i] = other;
        }
    }
    free(all);
}

static void mpi_broadcast(Comm *comm, void *data, int64_t bytes, int root) {
    if (!mpi_of(comm)->board) {
        Items items = items_of(bytes);
        MPI_Bcast(data, items.count, items.type, root, mpi_of(comm)->ranks);
        items_free(&items);
        return;
    }
    for (int64_t at = 0; at < bytes; at += BOARD) {
        const size_t part = (size_t)smaller(bytes - at, BOARD);
        if (comm->rank == root) memcpy(board_of(comm, root), (unsigned char *)data + at, part);
        mpi_barrier(comm);
        if (comm->rank != root) memcpy((unsigned char *)data + at, board_of(comm, root), part);
        mpi_barrier(comm);
    }
}

static Comm *mpi_split(Comm *comm, int color);

/* The functions of the table are the collectives above, watched by comm_watch. */
#define WATCHED(collective, subject, call)                                                                             \
    do {                                                                                                               \
        comm_watch_enter(collective, subject, comm->ranks);                                                            \
        call;                                                                                                          \
        comm_watch_exit();                                                                                             \
    } while (0)

static void *watched_allocate(Comm *comm, int64_t bytes) {
    void *memory;
    WATCHED("allocation", NULL, memory = mpi_allocate(comm, bytes));
    return memory;
}

static void watched_release(Comm *comm, void *memory) { WATCHED("release of memory", NULL, mpi_release(comm, memory)); }

static void watched_all_gather(Comm *comm, const void *send, void *receive, int64_t bytes) {
    WATCHED("all-gather", comm->subject, mpi_all_gather(comm, send, receive, bytes));
}

static void watched_reduce_scatter(Comm *comm, const float *send, float *receive, int64_t count) {
    WATCHED("reduce-scatter", comm->subject, mpi_reduce_scatter(comm, send, receive, count));
}

static void watched_all_reduce_sum(Comm *comm, double *values, int64_t count) {
    WATCHED("sum of values", NULL, mpi_all_reduce_sum(comm, values, count));
}

static void watched_all_reduce_max(Comm *comm, double *values, int64_t count) {
    WATCHED("maximum of values", NULL, mpi_all_reduce_max(comm, values, count));
}

static void watched_broadcast(Comm *comm, void *data, int64_t bytes, int root) {
    WATCHED("broadcast", NULL, mpi_broadcast(comm, data, bytes, root));
}

static void watched_barrier(Comm *comm) { WATCHED("barrier", NULL, mpi_barrier(comm)); }

static Comm *watched_split(Comm *comm, int color) {
    Comm *part;
    WATCHED("split", NULL, part = mpi_split(comm, color));
    return part;
}

/* Every rank of a host exchanges a message with every other, so that afterwards all have mapped each other's memory. */
static void meet_everyone(MPI_Comm local, int rank, int size) {
    for (int step = 1; step < size; step++) {
        const char mine = 0;
        char other;
        MPI_Sendrecv(&mine, 1, MPI_CHAR, (rank + step) % size, 0, &other, 1, MPI_CHAR, (rank + size - step) % size, 0,
                     local, MPI_STATUS_IGNORE);
    }
    MPI_Barrier(local);
}

static void mpi_destroy(Comm *comm) {
    Mpi *mpi = mpi_of(comm);
    WATCHED("end", NULL, MPI_Barrier(mpi->ranks));
    if (mpi->watched) comm_watch_leave();
    while (mpi->memory) comm_memory_unmap(&mpi->memory, comm_memory_own(mpi->memory));
    MPI_Comm_free(&mpi->ranks);
    if (mpi->began_mpi) {
        log_flush();
        log_set_abort(NULL);
        mpi_memory_restore();
        MPI_Finalize();
        mpi_memory_end();
    }
    free(mpi);
    free(comm);
}

static const CommFunctions mpi_functions = {.name = "mpi",
                                            .allocate = watched_allocate,
                                            .release = watched_release,
                                            .whole = mpi_whole,
                                            .all_gather = watched_all_gather,
                                            .reduce_scatter = watched_reduce_scatter,
                                            .wait_gathers = mpi_wait,
                                            .wait_reductions = mpi_wait,
                                            .all_reduce_sum = watched_all_reduce_sum,
                                            .all_reduce_max = watched_all_reduce_max,
                                            .broadcast = watched_broadcast,
                                            .barrier = watched_barrier,
                                            .split = watched_split,
                                            .destroy = mpi_destroy};

static void abort_all_ranks(int code) { MPI_Abort(MPI_COMM_WORLD, code); }

/* Sets the number of threads. Ranks whose affinity masks overlap divide their processors among themselves, so a
 * launcher's binding is respected. OpenMP's number stays if the system has more processors than a mask has room for. */
static void set_threads(Comm *comm) {
    if (getenv("OMP_NUM_THREADS")) return;
    const int local_size = comm->local_size;
    cpu_set_t mine, *all = malloc((size_t)local_size * sizeof *all);
    CHECK_MEMORY(all, "out of memory");
    CPU_ZERO(&mine);
    const bool known = sched_getaffinity(0, sizeof mine, &mine) == 0;
    if (!known && comm->local_rank == 0)
        log_warning("the ranks of this host cannot divide its processors among themselves (sched_getaffinity: %s): set "
                    "OMP_NUM_THREADS",
                    strerror(errno));
    MPI_Comm local = local_ranks(comm);
    MPI_Allgather(&mine, sizeof mine, MPI_BYTE, all, sizeof mine, MPI_BYTE, local);
    MPI_Comm_free(&local);
    int sharing = 0;
    for (int r = 0; r < local_size; r++) {
        cpu_set_t common;
        CPU_AND(&common, &mine, &all[r]);
        sharing += CPU_COUNT(&common) > 0;
    }
    free(all);
    if (!known) return;
    const int processors = CPU_COUNT(&mine), idle = (int)sysconf(_SC_NPROCESSORS_ONLN) - local_size * processors;
    if (processors == 1 && idle > 0 && log_rank() == 0)
        log_warning(
            "every rank is bound to one processor, and %d processors stay idle: start mpirun with --bind-to none",
            idle);
    omp_set_num_threads(processors > sharing ? processors / sharing : 1);
}

static bool begin_mpi(void) {
    int initialised = 0, provided;
    MPI_Initialized(&initialised);
    if (initialised) return false;
    mpi_memory_begin();
    MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
    CHECK(provided >= MPI_THREAD_FUNNELED, "this MPI allows no threads in its processes");
    return true;
}

/* A communicator of `ranks`, which it takes over. */
static Comm *create(MPI_Comm ranks, bool share_memory) {
    Mpi *mpi = calloc(1, sizeof *mpi);
    Comm *comm = calloc(1, sizeof *comm);
    CHECK_MEMORY(mpi && comm, "out of memory");
    *mpi = (Mpi){.ranks = ranks, .share_memory = share_memory};
    *comm = (Comm){.f = &mpi_functions, .ranks = "", .state = mpi};
    MPI_Comm_rank(ranks, &comm->rank);
    MPI_Comm_size(ranks, &comm->size);
    MPI_Comm local = local_ranks(comm);
    MPI_Comm_rank(local, &comm->local_rank);
    MPI_Comm_size(local, &comm->local_size);
    MPI_Comm_free(&local);
    mpi->shares = everyone(comm, share_memory && comm->local_size == comm->size);
    const int64_t part = comm_memory_part(sizeof(Meeting) + BOARD);
    void *board = mpi->shares && comm->size > 1 ? map_shared(comm, part) : NULL;
    mpi->board = board ? comm_memory_find(mpi->memory, board, part) : NULL;
    return comm;
}

static Comm *mpi_split(Comm *comm, int color) {
    MPI_Comm ranks;
    int size;
    MPI_Comm_split(mpi_of(comm)->ranks, color, comm->rank, &ranks);
    MPI_Comm_size(ranks, &size);
    if (size > 1) return create(ranks, mpi_of(comm)->share_memory);
    MPI_Comm_free(&ranks);
    return comm_self_create();
}

/* Watches the ranks of this host from now on. Collective over `comm`. True if they were not watched before. */
static bool start_watching(Comm *comm) {
    MPI_Comm local = local_ranks(comm);
    const int file = shared_file(local, comm->local_rank, comm_watch_bytes(comm->local_size));
    int all = file >= 0;
    MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_INT, MPI_LAND, local);
    const WatchedRanks ranks = {comm->rank, comm->size, comm->local_rank, comm->local_size};
    const bool joined = comm_watch_join(all ? file : -1, ranks);
    meet_everyone(local, comm->local_rank, comm->local_size);
    if (joined) comm_watch_start();
    if (joined) mpi_memory_unlink();
    if (file >= 0) close(file);
    MPI_Comm_free(&local);
    return joined;
}

Comm *comm_mpi_create(bool share_memory) {
    const bool began_mpi = begin_mpi();
    MPI_Comm world;
    MPI_Comm_dup(MPI_COMM_WORLD, &world);
    Comm *comm = create(world, share_memory);
    mpi_of(comm)->began_mpi = began_mpi;
    log_set_rank(comm->rank, comm->size);
    log_set_abort(abort_all_ranks);
    if (comm->size > 1) set_threads(comm);
    if (comm->size > 1) mpi_of(comm)->watched = start_watching(comm);
    return comm;
}
