/* NCCL on top of MPI, with the same asynchronous behaviour: a collective runs when its stream reaches it, a
 * non-blocking communicator has a thread of its own, and collectives of several communicators begin in any order unless
 * the program sets one.
 *
 * FAKE_NCCL_HANG     "RANK:N": collective number N of this rank never ends
 * FAKE_NCCL_FAULT    "RANK:N": in collective number N of this rank the GPU fails, and the collective never ends
 * FAKE_NCCL_CONNECT  "hang" or "fail": how connecting the ranks goes wrong; it hangs on one rank
 * FAKE_NCCL_VERSION  a number instead of the header's */
#include <mpi.h>
#include <nccl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "fake_cuda/fake.h"

struct ncclComm {
    MPI_Comm ranks;
    int size, rank, number; /* number: of this communicator, from 1 on; the same on all its ranks */
    int *world;             /* the MPI_COMM_WORLD rank of each rank */
    int ctas, collectives;
    bool blocking, in_progress;
    pthread_t thread; /* of the call in progress */
    atomic_bool called;
};

typedef struct Collective {
    ncclComm_t comm;
    const void *send;
    void *receive;
    size_t count;
} Collective;

static int collectives, communicators, ctas;

/* The thread blocks of all communicators must fit on the smallest GPU. Without a limit, NCCL uses this many. */
enum { PROCESSORS = 108, CTAS_OF_ITS_CHOICE = 32 };

static int number_of(const char *name, int otherwise) {
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}

static bool is_set_to(const char *name, const char *value) {
    const char *text = getenv(name);
    return text && strcmp(text, value) == 0;
}

ncclResult_t ncclGetVersion(int *version) {
    *version = number_of("FAKE_NCCL_VERSION", NCCL_VERSION_CODE);
    return ncclSuccess;
}

/* Identifies a communicator by the rank that creates it. Two that are created at the same time differ. */
typedef struct Identity {
    int first_rank, check;
} Identity;

enum { CHECK_NUMBER = 12345 };

/* NCCL reads the environment once, at its first use. Later changes have no effect. */
static void initialise(void) {
    static bool initialised;
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (!initialised)
        fake_order_collectives(is_set_to("NCCL_LAUNCH_ORDER_IMPLICIT", "1") ? FAKE_AS_CALLED
                               : rank % 2                                   ? FAKE_CONTRARY
                                                                            : FAKE_AS_AWAITED);
    initialised = true;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id) {
    Identity identity = {.check = CHECK_NUMBER};
    initialise();
    MPI_Comm_rank(MPI_COMM_WORLD, &identity.first_rank);
    memcpy(id->internal, &identity, sizeof identity);
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t result) { return result == ncclSuccess ? "no error" : "fake failure"; }
const char *ncclGetLastError(ncclComm_t comm) {
    (void)comm;
    return "no route to host";
}

static void join_ranks(ncclComm_t comm, int first_rank, int rank) {
    int world;
    MPI_Comm_rank(MPI_COMM_WORLD, &world);
    while (is_set_to("FAKE_NCCL_CONNECT", "hang") && world == 1) sleep(1);
    MPI_Comm_split(MPI_COMM_WORLD, first_rank, rank, &comm->ranks);
    MPI_Comm_size(comm->ranks, &comm->size);
    MPI_Comm_rank(comm->ranks, &comm->rank);
    comm->world = malloc((size_t)comm->size * sizeof *comm->world);
    CHECK(comm->world, "out of memory");
    MPI_Allgather(&world, 1, MPI_INT, comm->world, 1, MPI_INT, comm->ranks);
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *comm, int size, ncclUniqueId id, int rank, ncclConfig_t *config) {
    Identity identity;
    initialise();
    memcpy(&identity, id.internal, sizeof identity);
    CHECK(identity.check == CHECK_NUMBER, "a communicator by a number");
    *comm = calloc(1, sizeof **comm);
    CHECK(*comm, "out of memory");
    (*comm)->blocking = number_of("NCCL_COMM_BLOCKING", config->blocking) != 0;
    (*comm)->number = ++communicators;
    (*comm)->ctas = config->maxCTAs == NCCL_CONFIG_UNDEF_INT ? CTAS_OF_ITS_CHOICE : config->maxCTAs;
    ctas += (*comm)->ctas;
    CHECK(ctas < PROCESSORS, "%d thread blocks of collectives leave no room for other kernels", ctas);
    if (is_set_to("FAKE_NCCL_CONNECT", "fail")) return ncclRemoteError;
    join_ranks(*comm, identity.first_rank, rank);
    CHECK((*comm)->size == size && (*comm)->rank == rank, "rank %d of %d", rank, size);
    return (*comm)->blocking ? ncclSuccess : ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *result) {
    *result = ncclSuccess;
    if (!comm->in_progress) return ncclSuccess;
    if (!atomic_load(&comm->called)) {
        *result = ncclInProgress;
        return ncclSuccess;
    }
    pthread_join(comm->thread, NULL);
    comm->in_progress = false;
    return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) { return comm->blocking ? ncclSuccess : ncclInProgress; }

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
    MPI_Comm_free(&comm->ranks);
    ctas -= comm->ctas;
    free(comm->world);
    free(comm);
    return ncclSuccess;
}

ncclResult_t ncclCommRegister(const ncclComm_t comm, void *memory, size_t bytes, void **handle) {
    (void)comm, (void)bytes;
    *handle = memory;
    return ncclSuccess;
}

ncclResult_t ncclCommDeregister(const ncclComm_t comm, void *handle) {
    (void)comm, (void)handle;
    return ncclSuccess;
}

ncclResult_t ncclMemAlloc(void **memory, size_t bytes) {
    return cudaMallocAsync(memory, bytes, NULL) == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

ncclResult_t ncclMemFree(void *memory) {
    cudaFreeAsync(memory, NULL);
    return ncclSuccess;
}

/* Whether the environment variable `name` names collective number `mine` of this rank. */
static bool is_told(const char *name, const Collective *c, int mine) {
    int rank, number;
    const char *text = getenv(name);
    return text && sscanf(text, "%d:%d", &rank, &number) == 2 && rank == c->comm->rank && number == mine;
}

/* While one collective occupies the GPU, no other begins. So ranks that begin different ones would wait forever. */
static void begin_with_the_others(const Collective *c) {
    ncclComm_t comm = c->comm;
    const int mine[2] = {comm->number, comm->collectives++};
    int other[2];
    for (int rank = 0; rank < comm->size; rank++) {
        MPI_Sendrecv(mine, 2, MPI_INT, comm->world[rank], 0, other, 2, MPI_INT, comm->world[rank], 0, MPI_COMM_WORLD,
                     MPI_STATUS_IGNORE);
        CHECK(memcmp(mine, other, sizeof mine) == 0,
              "this rank begins collective %d of communicator %d while rank %d begins %d of %d: a deadlock", mine[1],
              mine[0], comm->world[rank], other[1], other[0]);
    }
}

static void begin(const Collective *c) {
    const int mine = collectives++;
    const bool faults = is_told("FAKE_NCCL_FAULT", c, mine);
    if (faults) fake_fail(cudaErrorIllegalAddress);
    while (faults || is_told("FAKE_NCCL_HANG", c, mine)) sleep(1);
    begin_with_the_others(c);
}

static void run_all_gather(void *payload) {
    const Collective *c = payload;
    begin(c);
    unsigned char *own = malloc(c->count + 1);
    CHECK(own, "out of memory");
    memcpy(own, c->send, c->count);
    MPI_Allgather(own, (int)c->count, MPI_BYTE, c->receive, (int)c->count, MPI_BYTE, c->comm->ranks);
    free(own);
}

/* Sums in the order of the ranks. */
static void run_reduce_scatter(void *payload) {
    const Collective *c = payload;
    begin(c);
    float *parts = malloc((size_t)c->comm->size * c->count * sizeof *parts), *sum = c->receive;
    CHECK(parts, "out of memory");
    MPI_Alltoall(c->send, (int)c->count, MPI_FLOAT, parts, (int)c->count, MPI_FLOAT, c->comm->ranks);
    for (size_t i = 0; i < c->count; i++) {
        sum[i] = parts[i];
        for (int rank = 1; rank < c->comm->size; rank++) sum[i] += parts[(size_t)rank * c->count + i];
    }
    free(parts);
}

typedef struct Call {
    Collective collective;
    cudaStream_t stream;
    void (*run)(void *);
} Call;

/* Runs in a thread, after the caller has continued. */
static void *call(void *argument) {
    Call *c = argument;
    nanosleep(&(struct timespec){0, 1000000}, NULL);
    fake_enqueue_collective(c->stream, c->run, &c->collective, sizeof c->collective);
    atomic_store(&c->collective.comm->called, true);
    free(c);
    return NULL;
}

static ncclResult_t launch(Collective collective, cudaStream_t stream, void (*run)(void *)) {
    ncclComm_t comm = collective.comm;
    if (fake_failure() != cudaSuccess) return ncclUnhandledCudaError;
    if (comm->blocking) {
        fake_enqueue_collective(stream, run, &collective, sizeof collective);
        return ncclSuccess;
    }
    Call *made = malloc(sizeof *made);
    CHECK(made && !comm->in_progress, "a call before the last one has ended");
    *made = (Call){collective, stream, run};
    atomic_store(&comm->called, false);
    comm->in_progress = true;
    CHECK(pthread_create(&comm->thread, NULL, call, made) == 0, "no thread");
    return ncclInProgress;
}

ncclResult_t ncclAllGather(const void *send, void *receive, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
    CHECK(type == ncclUint8, "bytes are gathered");
    return launch((Collective){comm, send, receive, count}, stream, run_all_gather);
}

ncclResult_t ncclReduceScatter(const void *send, void *receive, size_t count, ncclDataType_t type, ncclRedOp_t sum,
                               ncclComm_t comm, cudaStream_t stream) {
    CHECK(type == ncclFloat && sum == ncclSum, "sums of fp32");
    return launch((Collective){comm, send, receive, count}, stream, run_reduce_scatter);
}
