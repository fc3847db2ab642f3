/* Collectives between GPUs, by NCCL. Gathers and reductions each have a communicator and a stream of their own, so that
 * both overlap with each other and with computation; the host only enqueues. The communicators are blocking, so that
 * the thread that records a graph is the one that launches its collectives: for a non-blocking one, NCCL starts a
 * thread for every call. If a call hangs, the watchdog ends the job. */
#ifdef FLAME_NCCL
#include <nccl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/cuda_call.h"
#include "base/library.h"
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

/* Pointers to NCCL's functions, with the prototypes of its header. */
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
    atomic_bool connected; /* the watchdog may ask both communicators for errors */
    cudaError_t gpu_error; /* noticed by the watchdog's thread, which alone uses it */
} Nccl;

static Nccl *nccl_of(const Comm *comm) { return comm->state; }

static void check(ncclResult_t result, const char *doing, const char *subject) {
    if (result == ncclSuccess) return;
    if (result == ncclUnhandledCudaError) CUDA(cuda_failure());
    log_error("NCCL failed in the %s of %s: %s (%s)", doing, subject, nccl.ncclGetErrorString(result),
              nccl.ncclGetLastError(NULL));
    log_end_job(WATCHDOG);
}

/* Calls NCCL while the watchdog watches the call. */
#define CALL(n, call, doing, subject)                                                                                  \
    do {                                                                                                               \
        watchdog_call((n)->watchdog, doing, subject);                                                                  \
        const ncclResult_t result_ = nccl.call;                                                                        \
        watchdog_returned((n)->watchdog);                                                                              \
        check(result_, doing, subject);                                                                                \
    } while (0)

/* Makes the lane's stream wait for everything on the device's stream so far. */
static void enter(Lane *lane) {
    CUDA(cudaEventRecord(lane->asked, device_cuda_stream()));
    CUDA(cudaStreamWaitEvent(lane->stream, lane->asked, 0));
}

/* Marks the end of a collective. An event inside a graph capture cannot be queried, so the watchdog does not watch that
 * one. */
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
    CALL(n, ncclAllGather(send, receive, (size_t)bytes, ncclUint8, lane->comm, lane->stream), "all-gather",
         comm->subject);
    leave(comm, lane, "all-gather");
}

static void nccl_reduce_scatter(Comm *comm, const float *send, float *receive, int64_t count) {
    Nccl *n = nccl_of(comm);
    Lane *lane = &n->reductions;
    comm->bytes_sent += (comm->size - 1) * count * (int64_t)sizeof *send;
    enter(lane);
    CALL(n, ncclReduceScatter(send, receive, (size_t)count, ncclFloat, ncclSum, lane->comm, lane->stream),
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
    CHECK_MEMORY(entry, "out of memory");
    const size_t size = bytes > 0 ? (size_t)bytes : 1;
    const ncclResult_t result = nccl.ncclMemAlloc(&entry->memory, size);
    if (result != ncclSuccess) refuse_memory(n, bytes, result);
    CALL(n, ncclCommRegister(n->gathers.comm, entry->memory, size, &entry->handle[0]), "registration", "memory");
    CALL(n, ncclCommRegister(n->reductions.comm, entry->memory, size, &entry->handle[1]), "registration", "memory");
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
    CALL(n, ncclCommDeregister(n->gathers.comm, entry->handle[0]), "deregistration", "memory");
    CALL(n, ncclCommDeregister(n->reductions.comm, entry->handle[1]), "deregistration", "memory");
    CALL(n, ncclMemFree(entry->memory), "release", "memory");
    free(entry);
}

static const void *nccl_whole(Comm *comm, const void *memory) {
    (void)comm, (void)memory;
    return NULL;
}

static bool collective_done(void *context, int64_t ticket) {
    Nccl *n = context;
    cudaSetDevice(n->gpu);
    const cudaError_t error = cudaEventQuery(n->ended[ticket % WATCHDOG_OPEN]);
    if (error != cudaErrorNotReady) n->gpu_error = error;
    return error == cudaSuccess;
}

/* A failed GPU returns an error even for events that it had reached before, so it is not known which collective it
 * failed in. */
static bool gpu_failure(const Nccl *n, WatchdogFailure *failure) {
    if (n->gpu_error == cudaSuccess) return false;
    *failure = (WatchdogFailure){.advice = cuda_advice(n->gpu_error), .code = IO_ERROR};
    snprintf(failure->what, sizeof failure->what, "the GPU failed: %s (%s), at the earliest",
             cudaGetErrorString(n->gpu_error), cudaGetErrorName(n->gpu_error));
    return true;
}

static bool comm_failure(ncclComm_t comm, WatchdogFailure *failure) {
    ncclResult_t result = ncclSuccess;
    nccl.ncclCommGetAsyncError(comm, &result);
    if (result == ncclSuccess) return false;
    *failure = (WatchdogFailure){
        .advice = "Another rank has died or the network has failed; the run goes on from its last checkpoint",
        .code = WATCHDOG};
    snprintf(failure->what, sizeof failure->what, "NCCL failed: %s (%s)", nccl.ncclGetErrorString(result),
             nccl.ncclGetLastError(NULL));
    return true;
}

static bool failure_of(void *context, WatchdogFailure *failure) {
    Nccl *n = context;
    if (gpu_failure(n, failure)) return true;
    return atomic_load(&n->connected) &&
           (comm_failure(n->gathers.comm, failure) || comm_failure(n->reductions.comm, failure));
}

static void close_lane(Nccl *n, Lane *lane) {
    CALL(n, ncclCommFinalize(lane->comm), "end", "the run");
    CALL(n, ncclCommDestroy(lane->comm), "end", "the run");
    CUDA(cudaEventDestroy(lane->asked));
    CUDA(cudaEventDestroy(lane->recorded));
    CUDA(cudaStreamDestroy(lane->stream));
}

static void nccl_destroy(Comm *comm) {
    Nccl *n = nccl_of(comm);
    while (n->registered) nccl_release(comm, n->registered->memory);
    CUDA(cudaDeviceSynchronize());
    atomic_store(&n->connected, false); /* in effect from the next call on, because the watchdog looks under its lock */
    close_lane(n, &n->gathers);
    close_lane(n, &n->reductions);
    watchdog_destroy(n->watchdog);
    for (int i = 0; i < WATCHDOG_OPEN; i++) CUDA(cudaEventDestroy(n->ended[i]));
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

enum { OLDEST = 22600 }; /* the first version that can order the collectives of two communicators */

static const char *refusal(int version, char *why, size_t size) {
    snprintf(why, size,
             "it is version %d.%d.%d, and before 2.26 collectives of two communicators may wait for each other for "
             "ever",
             version / 10000, version % 10000 / 100, version % 100);
    return why;
}

/* Opens NCCL. BAD_INPUT (logged) if it cannot be used. Collective. */
static Status open_library(Comm *world) {
    static const LibrarySymbol symbols[] = {
#define SYMBOL(name) {#name, &nccl.name},
        NCCL_FUNCTIONS(SYMBOL)
#undef SYMBOL
    };
    char why[512];
    int version = 0;
    const bool loaded = library_load("libnccl.so.2", symbols, (int)(sizeof symbols / sizeof *symbols), why, sizeof why);
    const bool usable = loaded && nccl.ncclGetVersion(&version) == ncclSuccess && version >= OLDEST;
    if (comm_is_first(world, !usable))
        log_error(
            "several GPUs need NCCL, which cannot be used: %s. Install 2.26 or newer (the package libnccl2, or pip "
            "install nvidia-nccl-cu%d), or put its folder into LD_LIBRARY_PATH",
            loaded ? refusal(version, why, sizeof why) : why, CUDART_VERSION / 1000);
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

/* NCCL reads its environment when it is first used. */
static void set_environment(void) {
    /* The GPU starts collectives of all communicators in the order of the host's calls, which is the same on all ranks,
     * also in a graph. In different orders they would wait for each other for ever once they fill the GPU. */
    setenv("NCCL_LAUNCH_ORDER_IMPLICIT", "1", 0);
    /* NCCL_GRAPH_MIXING_SUPPORT stays 1, its default: a collective may be launched by itself while a graph with others
     * of its communicator runs. The hangs that NCCL's guide warns of need several GPUs in one process. */
    setenv("NCCL_COMM_BLOCKING", "1", 1);
    setenv("NCCL_RUNTIME_CONNECT", "0", 0); /* allocate NCCL's buffers now, before the memory plan asks what is free */
}

static void create_stream(Lane *lane) {
    int least, greatest;
    CUDA(cudaDeviceGetStreamPriorityRange(&least, &greatest));
    CUDA(cudaStreamCreateWithPriority(&lane->stream, cudaStreamNonBlocking, greatest));
    CUDA(cudaEventCreateWithFlags(&lane->asked, cudaEventDisableTiming));
    CUDA(cudaEventCreateWithFlags(&lane->recorded, cudaEventDisableTiming));
}

/* The most thread blocks of a collective. Each takes about a multiprocessor, and 16 are what NCCL itself takes for the
 * switches of an H100. Four communicators, as many as a rank can have, leave 44 of an A100's 108 multiprocessors to
 * other kernels. NCCL_MAX_CTAS overrides it. */
enum { LANE_CTAS = 16 };

/* Connects the ranks of n->over.host. Collective. */
static Status connect_lane(Comm *world, Nccl *n, Lane *lane) {
    Comm *host = n->over.host;
    ncclUniqueId id = {0};
    ncclResult_t result = host->rank == 0 ? nccl.ncclGetUniqueId(&id) : ncclSuccess;
    host->f->broadcast(host, &id, sizeof id, 0);
    if (comm_worst(world, result == ncclSuccess ? OK : BAD_INPUT) == OK) {
        ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
        config.blocking = 1;
        config.maxCTAs = LANE_CTAS;
        watchdog_call(n->watchdog, "connection", "the ranks (NCCL_DEBUG=INFO shows what is tried)");
        result = nccl.ncclCommInitRankConfig(&lane->comm, host->size, id, host->rank, &config);
        watchdog_returned(n->watchdog);
    }
    const char *text = nccl.ncclGetErrorString(result), *details = nccl.ncclGetLastError(NULL);
    if (result != ncclSuccess) {
        log_warning("NCCL says: %s (%s); the other ranks may take %.0f s to notice", text, details,
                    comm_settings().timeout_seconds);
        log_flush(); /* a rank that hangs ends the job before comm_worst prints it */
    }
    if (comm_is_first(world, result != ncclSuccess)) {
        const char *interface = getenv("NCCL_SOCKET_IFNAME");
        log_error("NCCL cannot connect the ranks: %s (%s). The network interface is %s (NCCL_SOCKET_IFNAME); "
                  "NCCL_DEBUG=INFO shows what is tried",
                  text, details, interface ? interface : "NCCL's choice");
    }
    return comm_worst(world, result == ncclSuccess ? OK : BAD_INPUT);
}

Status comm_nccl_create(Comm *world, Comm *host, const Device *device, bool share_gpu, Comm **comm) {
    set_environment();
    if (share_gpu) pretend_hosts(world->rank);
    Status status = open_library(world);
    if (status != OK) return status;
    Nccl *n = calloc(1, sizeof *n);
    CHECK_MEMORY(n, "out of memory");
    n->over = (CommOver){host, device};
    CUDA(cudaGetDevice(&n->gpu));
    for (int i = 0; i < WATCHDOG_OPEN; i++) CUDA(cudaEventCreateWithFlags(&n->ended[i], cudaEventDisableTiming));
    n->watchdog = watchdog_create(
        (WatchdogOptions){comm_settings().timeout_seconds, collective_done, failure_of, n, host->ranks});
    Lane *const lanes[] = {&n->gathers, &n->reductions};
    for (int i = 0; i < 2 && status == OK; i++) {
        create_stream(lanes[i]);
        status = connect_lane(world, n, lanes[i]);
    }
    if (status != OK) return status; /* nothing is destroyed, because that may hang, and the process ends */
    atomic_store(&n->connected, true);
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
