/* Collectives between GPUs, by NCCL. Gathers and reductions each have a communicator and a stream of their own, so that
 * both overlap with each other and with computation; the host only enqueues. The communicators are non-blocking: a call
 * may return ncclInProgress, and is then polled until it has completed. */
#ifdef FLAME_NCCL
#include <nccl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/cuda_call.h"
#include "base/library.h"
#include "base/clock.h"
#include "parallel/comm_over.h"
#include "parallel/watchdog.h"

#define NCCL_FUNCTIONS(X)                                                                                              \
    X(ncclAllGather)                                                                                                   \
    X(ncclCommDeregister)                                                                                              \
    X(ncclCommDestroy)                                                                                                 \
    X(ncclCommFinalize)                                                                                                \
    X(ncclCommGetAsyncError)                                                                                           \
    X(ncclCommInitRankConfig)                                                                                          \
    X(ncclCommRegister)                                                                                                \
    X(ncclGetErrorString)                                                                                              \
    X(ncclGetLastError)                                                                                                \
    X(ncclGetUniqueId)                                                                                                 \
    X(ncclGetVersion)                                                                                                  \
    X(ncclMemAlloc)                                                                                                    \
    X(ncclMemFree)                                                                                                     \
    X(ncclReduceScatter)

/* Pointers with the prototypes of the header. */
static struct {
#define POINTER(name) __typeof__(name) *name;
    NCCL_FUNCTIONS(POINTER)
#undef POINTER
} nccl;

/* Communicator and stream for one kind of collective: gathers or reductions. */
typedef struct Lane {
    ncclComm_t comm;
    cudaStream_t stream;
    cudaEvent_t asked;    /* recorded on the device's stream; the lane waits for it */
    cudaEvent_t recorded; /* the last collective of a graph capture */
    cudaEvent_t done; /* the last collective: this one or one of `ended`; NULL: the device has already waited for it */
} Lane;

/* Memory registered with NCCL (zero-copy), with its handles. */
typedef struct Registered {
    void *memory, *handle[2]; /* the handles of the two communicators */
    struct Registered *next;
} Registered;

typedef struct Nccl {
    CommOver over;
    Lane gathers, reductions;
    Registered *registered;
    int gpu;
    cudaEvent_t ended[WATCHDOG_OPEN]; /* completion events of the latest collectives, by ticket */
    Watchdog *watchdog;
    pthread_mutex_t
        asking; /* ncclCommGetAsyncError also completes a pending call, so only one thread may ask at a time */
} Nccl;

static Nccl *nccl_of(const Comm *comm) { return comm->state; }

/* Polls a communicator until its pending call has completed; returns the result. */
static ncclResult_t settle(ncclComm_t comm, ncclResult_t result, double seconds) {
    const double start = seconds_now();
    while (result == ncclInProgress && seconds_now() - start < seconds)
        if (nccl.ncclCommGetAsyncError(comm, &result) != ncclSuccess) return ncclInternalError;
    return result;
}

static const char *text_of(ncclResult_t result) {
    return result == ncclInProgress ? "no answer in time" : nccl.ncclGetErrorString(result);
}

static void check(Lane *lane, ncclResult_t result, const char *doing, const char *subject) {
    result = settle(lane->comm, result, comm_settings().timeout_seconds);
    if (result == ncclSuccess) return;
    log_error("NCCL failed in the %s of %s: %s (%s)", doing, subject, text_of(result), nccl.ncclGetLastError(NULL));
    log_end_job(WATCHDOG);
}

/* Calls NCCL for a lane and waits until the call has completed. */
#define CALL(n, lane, call, doing, subject)                                                                            \
    do {                                                                                                               \
        pthread_mutex_lock(&(n)->asking);                                                                              \
        check(lane, nccl.call, doing, subject);                                                                        \
        pthread_mutex_unlock(&(n)->asking);                                                                            \
    } while (0)

/* Makes the lane's stream wait for everything on the device's stream so far. */
static void enter(Lane *lane) {
    CUDA(cudaEventRecord(lane->asked, device_cuda_stream()));
    CUDA(cudaStreamWaitEvent(lane->stream, lane->asked, 0));
}

/* An event inside a graph capture cannot be queried, so the watchdog skips it. */
static void leave(Comm *comm, Lane *lane, const char *collective) {
    Nccl *n = nccl_of(comm);
    const bool begun = !device_cuda_recording();
    lane->done = begun ? n->ended[watchdog_next(n->watchdog) % WATCHDOG_OPEN] : lane->recorded;
    CUDA(cudaEventRecord(lane->done, lane->stream));
    if (begun) watchdog_begin(n->watchdog, collective, comm->subject);
}

static void nccl_watch_replay(Comm *comm, const char *subject) {
    Nccl *n = nccl_of(comm);
    CUDA(cudaEventRecord(n->ended[watchdog_next(n->watchdog) % WATCHDOG_OPEN], device_cuda_stream()));
    watchdog_begin(n->watchdog, "replay", subject);
}

static void nccl_all_gather(Comm *comm, const void *send, void *receive, int64_t bytes) {
    Nccl *n = nccl_of(comm);
    Lane *lane = &n->gathers;
    comm->bytes_sent += (comm->size - 1) * bytes;
    enter(lane);
    CALL(n, lane, ncclAllGather(send, receive, (size_t)bytes, ncclUint8, lane->comm, lane->stream), "all-gather",
         comm->subject);
    leave(comm, lane, "all-gather");
}

static void nccl_reduce_scatter(Comm *comm, const float *send, float *receive, int64_t count) {
    Nccl *n = nccl_of(comm);
    Lane *lane = &n->reductions;
    comm->bytes_sent += (comm->size - 1) * count * (int64_t)sizeof *send;
    enter(lane);
    CALL(n, lane, ncclReduceScatter(send, receive, (size_t)count, ncclFloat, ncclSum, lane->comm, lane->stream),
         "reduce-scatter", comm->subject);
    leave(comm, lane, "reduce-scatter");
}

/* Makes the device's stream wait for the lane's last collective. */
static void wait_for(Lane *lane) {
    if (lane->done) CUDA(cudaStreamWaitEvent(device_cuda_stream(), lane->done, 0));
    lane->done = NULL;
}

static void nccl_wait_gathers(Comm *comm) { wait_for(&nccl_of(comm)->gathers); }
static void nccl_wait_reductions(Comm *comm) { wait_for(&nccl_of(comm)->reductions); }

_Noreturn static void refuse_memory(const Nccl *n, int64_t bytes, ncclResult_t result) {
    if (n->over.device->available(1) < bytes) device_out_of_memory(n->over.device, bytes, "parameters and gradients");
    log_error("NCCL cannot allocate %.1f MB: %s (%s). NCCL_CUMEM_ENABLE=0 lets it allocate in another way",
              (double)bytes / 1e6, nccl.ncclGetErrorString(result), nccl.ncclGetLastError(NULL));
    log_end_job(IO_ERROR);
}

static void *nccl_allocate(Comm *comm, int64_t bytes) {
    Nccl *n = nccl_of(comm);
    Registered *entry = calloc(1, sizeof *entry);
    CHECK(entry, "out of memory");
    const size_t size = bytes > 0 ? (size_t)bytes : 1;
    const ncclResult_t result = nccl.ncclMemAlloc(&entry->memory, size);
    if (result != ncclSuccess) refuse_memory(n, bytes, result);
    CALL(n, &n->gathers, ncclCommRegister(n->gathers.comm, entry->memory, size, &entry->handle[0]), "registration",
         "memory");
    CALL(n, &n->reductions, ncclCommRegister(n->reductions.comm, entry->memory, size, &entry->handle[1]),
         "registration", "memory");
    entry->next = n->registered;
    n->registered = entry;
    n->over.device->fill(entry->memory, 0, 1, (int64_t)size, (int64_t)size);
    return entry->memory;
}

static void nccl_release(Comm *comm, void *memory) {
    Nccl *n = nccl_of(comm);
    Registered **link = &n->registered;
    while (*link && (*link)->memory != memory) link = &(*link)->next;
    Registered *entry = *link;
    CHECK(entry, "memory given back to a communicator that did not allocate it");
    *link = entry->next;
    CUDA(cudaDeviceSynchronize());
    CALL(n, &n->gathers, ncclCommDeregister(n->gathers.comm, entry->handle[0]), "deregistration", "memory");
    CALL(n, &n->reductions, ncclCommDeregister(n->reductions.comm, entry->handle[1]), "deregistration", "memory");
    CALL(n, &n->gathers, ncclMemFree(entry->memory), "release", "memory");
    free(entry);
}

static const void *nccl_whole(Comm *comm, const void *memory) {
    (void)comm, (void)memory;
    return NULL;
}

static bool collective_done(void *context, int64_t ticket) {
    Nccl *n = context;
    cudaSetDevice(n->gpu);
    return cudaEventQuery(n->ended[ticket % WATCHDOG_OPEN]) != cudaErrorNotReady;
}

/* While the main thread polls NCCL, it notices errors by itself. */
static const char *async_failure(void *context) {
    Nccl *n = context;
    ncclResult_t result[2] = {ncclSuccess, ncclSuccess};
    if (pthread_mutex_trylock(&n->asking) != 0) return NULL;
    nccl.ncclCommGetAsyncError(n->gathers.comm, &result[0]);
    nccl.ncclCommGetAsyncError(n->reductions.comm, &result[1]);
    pthread_mutex_unlock(&n->asking);
    for (int i = 0; i < 2; i++)
        if (result[i] != ncclSuccess && result[i] != ncclInProgress) return nccl.ncclGetErrorString(result[i]);
    return NULL;
}

static void close_lane(Lane *lane) {
    check(lane, nccl.ncclCommFinalize(lane->comm), "end", "the run");
    nccl.ncclCommDestroy(lane->comm);
    CUDA(cudaEventDestroy(lane->asked));
    CUDA(cudaEventDestroy(lane->recorded));
    CUDA(cudaStreamDestroy(lane->stream));
}

static void nccl_destroy(Comm *comm) {
    Nccl *n = nccl_of(comm);
    while (n->registered) nccl_release(comm, n->registered->memory);
    CUDA(cudaDeviceSynchronize());
    watchdog_destroy(n->watchdog);
    close_lane(&n->gathers);
    close_lane(&n->reductions);
    for (int i = 0; i < WATCHDOG_OPEN; i++) CUDA(cudaEventDestroy(n->ended[i]));
    pthread_mutex_destroy(&n->asking);
    free(n);
    free(comm);
}

static const CommFunctions nccl_functions = {.name = "nccl",
                                             .asynchronous = true,
                                             .allocate = nccl_allocate,
                                             .release = nccl_release,
                                             .whole = nccl_whole,
                                             .all_gather = nccl_all_gather,
                                             .reduce_scatter = nccl_reduce_scatter,
                                             .wait_gathers = nccl_wait_gathers,
                                             .wait_reductions = nccl_wait_reductions,
                                             .watch_replay = nccl_watch_replay,
                                             .all_reduce_sum = comm_over_all_reduce_sum,
                                             .all_reduce_max = comm_over_all_reduce_max,
                                             .broadcast = comm_over_broadcast,
                                             .barrier = comm_over_barrier,
                                             .split = comm_over_split,
                                             .destroy = nccl_destroy};

enum { OLDEST = 21900 }; /* the oldest version with all functions used here */

/* Collective. */
static Status open_library(Comm *world) {
    static const LibrarySymbol symbols[] = {
#define SYMBOL(name) {#name, &nccl.name},
        NCCL_FUNCTIONS(SYMBOL)
#undef SYMBOL
    };
    char why[512];
    int version = 0;
    const bool loaded = library_load("libnccl.so.2", symbols, (int)(sizeof symbols / sizeof *symbols), why, sizeof why);
    if (loaded && nccl.ncclGetVersion(&version) == ncclSuccess && version < OLDEST)
        snprintf(why, sizeof why, "it is version %d, and %d or newer is needed", version, OLDEST);
    const bool usable = loaded && version >= OLDEST;
    if (comm_is_first(world, !usable))
        log_error("several GPUs need NCCL, which cannot be used: %s. Install it, or put its folder into "
                  "LD_LIBRARY_PATH",
                  why);
    return comm_worst(world, usable ? OK : BAD_INPUT);
}

/* NCCL refuses several ranks on one GPU. With different NCCL_HOSTIDs it takes them for ranks on different hosts and
 * uses sockets, which is enough for tests. */
static void pretend_hosts(int rank) {
    char name[32];
    snprintf(name, sizeof name, "flame-c-rank-%d", rank);
    setenv("NCCL_HOSTID", name, 0);
    setenv("NCCL_NET", "Socket", 0);
    setenv("NCCL_NET_PLUGIN", "none", 0);
    setenv("NCCL_SOCKET_IFNAME", "lo", 0);
    setenv("NCCL_ALGO", "Ring", 0);
    setenv("NCCL_PROTO", "Simple", 0);
}

static void create_stream(Lane *lane) {
    int least, greatest;
    CUDA(cudaDeviceGetStreamPriorityRange(&least, &greatest));
    CUDA(cudaStreamCreateWithPriority(&lane->stream, cudaStreamNonBlocking, greatest));
    CUDA(cudaEventCreateWithFlags(&lane->asked, cudaEventDisableTiming));
    CUDA(cudaEventCreateWithFlags(&lane->recorded, cudaEventDisableTiming));
}

/* Connects the ranks of `host`. Collective. */
static Status connect_lane(Comm *world, Comm *host, Lane *lane) {
    ncclUniqueId id = {0};
    ncclResult_t result = host->rank == 0 ? nccl.ncclGetUniqueId(&id) : ncclSuccess;
    host->f->broadcast(host, &id, sizeof id, 0);
    if (comm_worst(world, result == ncclSuccess ? OK : BAD_INPUT) == OK) {
        ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
        config.blocking = 0;
        result = nccl.ncclCommInitRankConfig(&lane->comm, host->size, id, host->rank, &config);
        result = settle(lane->comm, result, comm_settings().timeout_seconds);
    }
    if (result != ncclSuccess)
        log_warning("NCCL says: %s (%s); the other ranks may take %.0f s to notice", text_of(result),
                    nccl.ncclGetLastError(NULL), comm_settings().timeout_seconds);
    if (comm_is_first(world, result != ncclSuccess)) {
        const char *interface = getenv("NCCL_SOCKET_IFNAME");
        log_error("NCCL cannot connect the ranks: %s (%s). The network interface is %s (NCCL_SOCKET_IFNAME); "
                  "NCCL_DEBUG=INFO shows what is tried",
                  text_of(result), nccl.ncclGetLastError(NULL), interface ? interface : "NCCL's choice");
    }
    return comm_worst(world, result == ncclSuccess ? OK : BAD_INPUT);
}

Status comm_nccl_create(Comm *world, Comm *host, const Device *device, bool share_gpu, Comm **comm) {
    Status status = open_library(world);
    if (status != OK) return status;
    setenv("NCCL_RUNTIME_CONNECT", "0", 0); /* allocate NCCL's buffers now, before the memory plan asks what is free */
    if (share_gpu) pretend_hosts(world->rank);
    Nccl *n = calloc(1, sizeof *n);
    CHECK(n, "out of memory");
    n->over = (CommOver){host, device};
    pthread_mutex_init(&n->asking, NULL);
    CUDA(cudaGetDevice(&n->gpu));
    Lane *const lanes[] = {&n->gathers, &n->reductions};
    for (int i = 0; i < 2 && status == OK; i++) {
        create_stream(lanes[i]);
        status = connect_lane(world, host, lanes[i]);
    }
    if (status != OK) return status; /* the process ends; destroying a half-connected communicator may hang */
    for (int i = 0; i < WATCHDOG_OPEN; i++) CUDA(cudaEventCreateWithFlags(&n->ended[i], cudaEventDisableTiming));
    n->watchdog = watchdog_create(
        (WatchdogOptions){comm_settings().timeout_seconds, collective_done, async_failure, n, host->ranks});
    *comm = comm_over_create(&n->over, &nccl_functions);
    return OK;
}

#else
#include "base/log.h"
#include "parallel/comm.h"

Status comm_nccl_create(Comm *world, Comm *host, const Device *device, bool share_gpu, Comm **comm) {
    (void)host, (void)device, (void)share_gpu, (void)comm;
    if (world->rank == 0)
        log_error("several GPUs need NCCL, and this program was built without it: install nccl.h (the package "
                  "libnccl-dev) and build again");
    return BAD_INPUT;
}
#endif
