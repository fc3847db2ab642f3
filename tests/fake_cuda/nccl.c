/* NCCL by MPI, with its manners: no call has ended when it returns, and nothing moves before its stream's turn comes.
 *
 * FAKE_NCCL_HANG  "RANK:N": collective number N of this rank never ends
 * FAKE_NCCL_FAIL  anything: the ranks cannot be connected */
#include <mpi.h>
#include <nccl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "fake_cuda/fake.h"

struct ncclComm {
    MPI_Comm ranks;
    int size, rank, asked; /* asked: how often, since the last call */
};

typedef struct Collective {
    ncclComm_t comm;
    const void *send;
    void *receive;
    size_t count;
} Collective;

static int collectives;

ncclResult_t ncclGetVersion(int *version) {
    *version = NCCL_VERSION_CODE;
    return ncclSuccess;
}

/* Of a communicator, by the rank that begins it: no other at the same time has this one. */
typedef struct Identity {
    int first_rank, check;
} Identity;

enum { CHECK_NUMBER = 12345 };

ncclResult_t ncclGetUniqueId(ncclUniqueId *id) {
    Identity identity = {.check = CHECK_NUMBER};
    MPI_Comm_rank(MPI_COMM_WORLD, &identity.first_rank);
    memcpy(id->internal, &identity, sizeof identity);
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t result) { return result == ncclSuccess ? "no error" : "fake failure"; }
const char *ncclGetLastError(ncclComm_t comm) {
    (void)comm;
    return "no route to host";
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *comm, int size, ncclUniqueId id, int rank, ncclConfig_t *config) {
    Identity identity;
    memcpy(&identity, id.internal, sizeof identity);
    CHECK(config->blocking == 0 && identity.check == CHECK_NUMBER, "a communicator that does not block, by a number");
    *comm = calloc(1, sizeof **comm);
    if (getenv("FAKE_NCCL_FAIL")) return ncclRemoteError;
    MPI_Comm_split(MPI_COMM_WORLD, identity.first_rank, rank, &(*comm)->ranks);
    MPI_Comm_size((*comm)->ranks, &(*comm)->size);
    MPI_Comm_rank((*comm)->ranks, &(*comm)->rank);
    CHECK((*comm)->size == size && (*comm)->rank == rank, "rank %d of %d", rank, size);
    return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *result) {
    *result = comm->asked++ < 2 ? ncclInProgress : ncclSuccess;
    return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
    comm->asked = 0;
    return ncclInProgress;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
    MPI_Comm_free(&comm->ranks);
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

static void hang_if_told(const Collective *c) {
    int rank, number;
    const char *text = getenv("FAKE_NCCL_HANG");
    const int mine = collectives++;
    while (text && sscanf(text, "%d:%d", &rank, &number) == 2 && rank == c->comm->rank && number == mine) sleep(1);
}

static void run_all_gather(void *payload) {
    const Collective *c = payload;
    hang_if_told(c);
    unsigned char *own = malloc(c->count + 1);
    CHECK(own, "out of memory");
    memcpy(own, c->send, c->count);
    MPI_Allgather(own, (int)c->count, MPI_BYTE, c->receive, (int)c->count, MPI_BYTE, c->comm->ranks);
    free(own);
}

/* Sums in the order of the ranks. */
static void run_reduce_scatter(void *payload) {
    const Collective *c = payload;
    hang_if_told(c);
    float *parts = malloc((size_t)c->comm->size * c->count * sizeof *parts), *sum = c->receive;
    CHECK(parts, "out of memory");
    MPI_Alltoall(c->send, (int)c->count, MPI_FLOAT, parts, (int)c->count, MPI_FLOAT, c->comm->ranks);
    for (size_t i = 0; i < c->count; i++) {
        sum[i] = parts[i];
        for (int rank = 1; rank < c->comm->size; rank++) sum[i] += parts[(size_t)rank * c->count + i];
    }
    free(parts);
}

static ncclResult_t begin(Collective collective, cudaStream_t stream, void (*run)(void *)) {
    fake_enqueue(stream, run, &collective, sizeof collective);
    collective.comm->asked = 0;
    return ncclInProgress;
}

ncclResult_t ncclAllGather(const void *send, void *receive, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
    CHECK(type == ncclUint8, "bytes are gathered");
    return begin((Collective){comm, send, receive, count}, stream, run_all_gather);
}

ncclResult_t ncclReduceScatter(const void *send, void *receive, size_t count, ncclDataType_t type, ncclRedOp_t sum,
                               ncclComm_t comm, cudaStream_t stream) {
    CHECK(type == ncclFloat && sum == ncclSum, "sums of fp32");
    return begin((Collective){comm, send, receive, count}, stream, run_reduce_scatter);
}
