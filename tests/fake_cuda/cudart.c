/* A CUDA runtime without a GPU, linked instead of the real one. The calls of device_cuda.c and comm_nccl.c for streams,
 * events and memory run on the CPU, and errors of the GPU can be provoked to test their messages.
 *
 * The device's stream runs every call at once. A stream with a priority, as communicators have, runs its calls only
 * when the program waits for them, so that a missing wait leaves a result missing. By then, the input of a collective
 * always exists; so the runtime checks that the collective's stream has waited for all earlier calls of the device's
 * stream. A graph is the list of the captured calls, with streams and events of its own. From its launch to the next
 * synchronization, the device's stream is delayed in the same way.
 *
 * FAKE_CUDA_STICKY  "RANK:N[:ERROR]": after kernel number N of this rank, every call returns an error
 * FAKE_CUDA_ERROR   what cudaGetDeviceCount returns, a number       FAKE_CUDA_GPUS    number of GPUs (1)
 * FAKE_CUDA_DRIVER  the CUDA version of the driver (13000)          FAKE_CUDA_MAJOR   compute capability (9)
 * FAKE_CUDA_MEMORY  bytes of a GPU (2^40)
 *
 * CUDA_VISIBLE_DEVICES hides all but its first GPUs. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "fake_cuda/fake.h"
#include "core/launch_cuda.h"
#include "tile/emulator.h"

typedef struct Task {
    void (*run)(void *payload);
    void *payload;
    int64_t turn; /* for a collective: its number in the order of the host's calls, from 1 */
    struct Task *next;
} Task;

struct CUstream_st {
    int priority;
    bool lane, lazy, busy;
    Task *first, **last;
    cudaStream_t next; /* in the list of all streams */
    bool captured;     /* it takes part in the current capture */
    int64_t asked;     /* number of calls so far */
    int64_t joined;    /* lane in a capture: the last of its calls for which the captured stream waits */
    int64_t waited;    /* lane: it has waited for the calls of the device's stream up to this one */
};

/* `recorded` counts the calls of cudaEventRecord, `reached` those that the stream has executed. */
struct CUevent_st {
    cudaStream_t stream;
    atomic_long recorded, reached;
    cudaGraph_t graph; /* the graph whose capture recorded it last; NULL: not in a capture */
    int64_t covers;    /* the number of the record among the calls of its stream */
};

/* A captured call on a stream: a task, the record of an event, or a wait for an event. */
typedef struct GraphNode {
    cudaStream_t stream;
    cudaEvent_t record, wait;
    void (*run)(void *payload);
    void *payload;
    size_t bytes;
    bool collective;
    struct GraphNode *next;
} GraphNode;

enum { COPIES = 64 };

struct CUgraph_st {
    GraphNode *first, **last;
    int64_t collectives;
    struct {
        void *of, *copy; /* a stream or an event */
    } copy[COPIES];
    int copies;
};

enum { LANES = 4 };

static struct {
    cudaGraph_t graph; /* NULL: no capture is in progress */
    cudaStream_t stream, lane[LANES];
    int lanes;
} capture;

/* Each allocation is preceded by a header that holds its size. */
enum { HEADER = 256 };
static int64_t used;
static int gpu;
static cudaStream_t streams;
static cudaStream_t device_stream;
static int64_t turns; /* number of collectives so far */
static FakeOrder order;
static atomic_int failure;
static _Thread_local cudaError_t last; /* last error of this runtime; libraries have a runtime of their own */

void fake_order_collectives(FakeOrder wanted) { order = wanted; }
void fake_fail(cudaError_t error) { failure = (int)error; }
cudaError_t fake_failure(void) { return (cudaError_t)failure; }

/* For functions that return the GPU's failure. */
#define ANSWER_FAILURE                                                                                                 \
    if (failure) return last = (cudaError_t)failure

static int64_t number_of(const char *name, int64_t otherwise) {
    const char *text = getenv(name);
    return text ? strtoll(text, NULL, 10) : otherwise;
}

static void wait_event(void *payload);
static bool waits(const Task *task);

static bool earlier_on(const struct CUstream_st *stream, int64_t turn) {
    for (const Task *task = stream->first; task; task = task->next)
        if (task->turn && task->turn < turn) return true;
    return false;
}

static bool run_first(cudaStream_t stream);

/* Runs the collectives of other streams that the GPU begins before this one. */
static void run_others(int64_t turn) {
    for (cudaStream_t stream = streams; stream; stream = stream->next)
        while (!stream->busy && stream->lane && stream->first &&
               (order == FAKE_AS_CALLED ? earlier_on(stream, turn) : order == FAKE_CONTRARY && !waits(stream->first)))
            run_first(stream);
}

static bool run_first(cudaStream_t stream) {
    Task *task = stream->first;
    if (!task || stream->busy) return false;
    stream->busy = true;
    if (task->turn) run_others(task->turn);
    stream->first = task->next;
    if (!stream->first) stream->last = &stream->first;
    task->run(task->payload);
    free(task->payload);
    free(task);
    stream->busy = false;
    return true;
}

static void *copy_of(const void *payload, size_t bytes) {
    void *copy = malloc(bytes);
    CHECK(copy, "out of memory");
    return memcpy(copy, payload, bytes);
}

static void add_node(GraphNode node) {
    GraphNode *added = copy_of(&node, sizeof node);
    *capture.graph->last = added;
    capture.graph->last = &added->next;
}

static void enqueue(cudaStream_t stream, void (*run)(void *), void *payload, int64_t turn) {
    Task *task = malloc(sizeof *task);
    CHECK(task, "out of memory");
    *task = (Task){run, payload, turn, NULL};
    *stream->last = task;
    stream->last = &task->next;
    while (!stream->lazy && run_first(stream)) continue;
}

void fake_enqueue(cudaStream_t stream, void (*run)(void *), const void *payload, size_t bytes) {
    void *copy = copy_of(payload, bytes);
    stream->asked++;
    if (stream->captured)
        add_node((GraphNode){.stream = stream, .run = run, .payload = copy, .bytes = bytes});
    else
        enqueue(stream, run, copy, 0);
}

void fake_enqueue_collective(cudaStream_t stream, void (*run)(void *), const void *payload, size_t bytes) {
    void *copy = copy_of(payload, bytes);
    CHECK(stream->waited == device_stream->asked,
          "a collective waits for only %lld of %lld calls of the device's stream: it may begin before its input exists",
          (long long)stream->waited, (long long)device_stream->asked);
    stream->asked++;
    if (stream->captured)
        add_node((GraphNode){.stream = stream, .run = run, .payload = copy, .bytes = bytes, .collective = true});
    else
        enqueue(stream, run, copy, ++turns);
}

static cudaError_t create_stream(cudaStream_t *stream, int priority) {
    ANSWER_FAILURE;
    *stream = calloc(1, sizeof **stream);
    CHECK(*stream, "out of memory");
    (*stream)->priority = priority;
    (*stream)->lane = (*stream)->lazy = priority != 0;
    (*stream)->last = &(*stream)->first;
    (*stream)->next = streams;
    streams = *stream;
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
    (void)flags;
    CHECK(!device_stream, "a second stream of the device");
    const cudaError_t error = create_stream(stream, 0);
    device_stream = *stream;
    return error;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int priority) {
    (void)flags;
    return create_stream(stream, priority);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    ANSWER_FAILURE;
    CHECK(!stream->first, "a stream is destroyed before its work is done");
    cudaStream_t *link = &streams;
    while (*link != stream) link = &(*link)->next;
    *link = stream->next;
    free(stream);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    ANSWER_FAILURE;
    if (stream->captured) return cudaErrorStreamCaptureUnsupported;
    while (run_first(stream)) continue;
    stream->lazy = stream->lane;
    ANSWER_FAILURE;
    return cudaSuccess;
}

/* The program waits for the events of lazy streams one by one, so nothing else remains to be done here. */
cudaError_t cudaDeviceSynchronize(void) {
    ANSWER_FAILURE;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
    ANSWER_FAILURE;
    *least = 0;
    *greatest = -5;
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
    (void)flags;
    ANSWER_FAILURE;
    *event = calloc(1, sizeof **event);
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    ANSWER_FAILURE;
    free(event);
    return cudaSuccess;
}

static void reach(void *payload) { (*(cudaEvent_t *)payload)->reached++; }

static void record(cudaEvent_t event, cudaStream_t stream) {
    event->recorded++;
    enqueue(stream, reach, copy_of(&event, sizeof event), 0);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    ANSWER_FAILURE;
    event->stream = stream;
    event->graph = stream->captured ? capture.graph : NULL;
    event->covers = ++stream->asked;
    if (stream->captured)
        add_node((GraphNode){.stream = stream, .record = event});
    else
        record(event, stream);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
    ANSWER_FAILURE;
    if (event->graph) return cudaErrorCapturedEvent;
    return event->reached < event->recorded ? cudaErrorNotReady : cudaSuccess;
}

/* Waits for the event's last record before the call. */
typedef struct Wait {
    cudaEvent_t event;
    long target;
} Wait;

static bool is_over(const Wait *wait) { return wait->event->reached >= wait->target; }
static bool waits(const Task *task) { return task->run == wait_event && !is_over(task->payload); }

static void wait_event(void *payload) {
    const Wait *wait = payload;
    while (!is_over(wait) && run_first(wait->event->stream)) continue;
    CHECK(is_over(wait), "a stream waits for an event that is never recorded");
}

static Wait wait_for(cudaEvent_t event) { return (Wait){event, event->recorded}; }

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    ANSWER_FAILURE;
    if (event->graph) return cudaErrorCapturedEvent;
    Wait wait = wait_for(event);
    wait_event(&wait);
    return cudaSuccess;
}

static void wait(cudaEvent_t event, cudaStream_t stream) {
    const Wait wait = wait_for(event);
    enqueue(stream, wait_event, copy_of(&wait, sizeof wait), 0);
}

/* A stream joins a capture with its first wait for a captured event. */
static cudaError_t capture_wait(cudaStream_t stream, cudaEvent_t event) {
    if (event->graph != capture.graph) return cudaErrorStreamCaptureIsolation;
    if (!stream->captured) {
        CHECK(capture.lanes < LANES, "more than %d streams in a capture", LANES);
        capture.lane[capture.lanes++] = stream;
        stream->captured = true;
        stream->joined = 0;
    }
    if (stream == capture.stream && event->covers > event->stream->joined) event->stream->joined = event->covers;
    add_node((GraphNode){.stream = stream, .wait = event});
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
    (void)flags;
    ANSWER_FAILURE;
    stream->asked++;
    if (event->stream == device_stream && event->covers > stream->waited) stream->waited = event->covers;
    if (stream->captured || (capture.graph && event->graph == capture.graph)) return capture_wait(stream, event);
    if (event->graph) return cudaErrorCapturedEvent;
    wait(event, stream);
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
    ANSWER_FAILURE;
    CHECK(mode == cudaStreamCaptureModeThreadLocal && !capture.graph,
          "captures are thread-local, and there is one at a time");
    capture.graph = calloc(1, sizeof *capture.graph);
    CHECK(capture.graph, "out of memory");
    capture.graph->last = &capture.graph->first;
    capture.stream = stream;
    capture.lanes = 0;
    stream->captured = true;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    ANSWER_FAILURE;
    *graph = capture.graph;
    capture.graph = NULL;
    stream->captured = false;
    bool joined = true;
    for (int i = 0; i < capture.lanes; i++) {
        capture.lane[i]->captured = false;
        joined &= capture.lane[i]->joined == capture.lane[i]->asked;
    }
    return joined ? cudaSuccess : cudaErrorStreamCaptureUnjoined;
}

/* The graph's copy of a stream or event of the program; NULL: there is none yet. */
static void *copy_in(cudaGraph_t graph, const void *of) {
    for (int i = 0; i < graph->copies; i++)
        if (graph->copy[i].of == of) return graph->copy[i].copy;
    return NULL;
}

static void *remember(cudaGraph_t graph, void *of, void *copy) {
    CHECK(graph->copies < COPIES, "more than %d streams and events in a graph", COPIES);
    graph->copy[graph->copies].of = of;
    graph->copy[graph->copies++].copy = copy;
    return copy;
}

static cudaStream_t own_stream(cudaGraph_t graph, cudaStream_t stream) {
    cudaStream_t copy = copy_in(graph, stream);
    if (copy || !stream->lane) return copy ? copy : stream;
    create_stream(&copy, stream->priority);
    return remember(graph, stream, copy);
}

static cudaEvent_t own_event(cudaGraph_t graph, cudaEvent_t event) {
    cudaEvent_t copy = event ? copy_in(graph, event) : NULL;
    if (copy || !event) return copy;
    cudaEventCreateWithFlags(&copy, 0);
    return remember(graph, event, copy);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags) {
    ANSWER_FAILURE;
    for (GraphNode *node = graph->first; node; node = node->next) {
        CHECK(node->stream->priority == graph->first->stream->priority ||
                  (flags & cudaGraphInstantiateFlagUseNodePriority),
              "a graph of calls with different priorities needs cudaGraphInstantiateFlagUseNodePriority");
        node->stream = own_stream(graph, node->stream);
        node->record = own_event(graph, node->record);
        node->wait = own_event(graph, node->wait);
        graph->collectives += node->collective;
    }
    *executable = (cudaGraphExec_t)(void *)graph;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    (void)graph; /* the executable graph is the same object */
    ANSWER_FAILURE;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
    ANSWER_FAILURE;
    const cudaGraph_t graph = (cudaGraph_t)(void *)executable;
    for (GraphNode *node = graph->first, *next; node; node = next) {
        next = node->next;
        free(node->payload);
        free(node);
    }
    for (int i = 0; i < graph->copies; i++) {
        bool is_stream = false;
        for (cudaStream_t stream = streams; stream; stream = stream->next) is_stream |= stream == graph->copy[i].copy;
        if (is_stream)
            cudaStreamDestroy(graph->copy[i].copy);
        else
            cudaEventDestroy(graph->copy[i].copy);
    }
    free(graph);
    return cudaSuccess;
}

typedef struct GraphLaunch {
    cudaGraph_t graph;
    int64_t turn; /* turn of the last collective before the graph */
} GraphLaunch;

/* Executes a call on the device's stream. */
static void run_node(const GraphNode *node) {
    if (node->record) {
        node->record->stream = node->stream;
        node->record->reached = ++node->record->recorded;
    } else if (node->wait) {
        Wait wait = wait_for(node->wait);
        wait_event(&wait);
    } else {
        node->run(node->payload);
    }
}

static void enqueue_node(const GraphNode *node, int64_t turn) {
    if (node->record) {
        node->record->stream = node->stream;
        record(node->record, node->stream);
    } else if (node->wait) {
        wait(node->wait, node->stream);
    } else {
        enqueue(node->stream, node->run, copy_of(node->payload, node->bytes), node->collective ? turn : 0);
    }
}

static void run_graph(void *payload) {
    GraphLaunch *launch = payload;
    for (const GraphNode *node = launch->graph->first; node; node = node->next) {
        launch->turn += node->collective;
        if (node->stream->lane)
            enqueue_node(node, launch->turn);
        else
            run_node(node);
    }
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
    ANSWER_FAILURE;
    const GraphLaunch launch = {(cudaGraph_t)(void *)executable, turns};
    turns += launch.graph->collectives;
    stream->lazy = true;
    fake_enqueue(stream, run_graph, &launch, sizeof launch);
    return cudaSuccess;
}

cudaError_t cudaMallocAsync(void **memory, size_t bytes, cudaStream_t stream) {
    ANSWER_FAILURE;
    if (stream && stream->captured) return cudaErrorStreamCaptureUnsupported;
    if (used + (int64_t)bytes > number_of("FAKE_CUDA_MEMORY", INT64_C(1) << 40)) return cudaErrorMemoryAllocation;
    const size_t size = (bytes + HEADER - 1) / HEADER * HEADER + HEADER;
    unsigned char *base = aligned_alloc(HEADER, size);
    CHECK(base, "out of memory");
    memset(base, 0xff, size);
    memcpy(base, &bytes, sizeof bytes);
    used += (int64_t)bytes;
    *memory = base + HEADER;
    return cudaSuccess;
}

cudaError_t cudaFreeAsync(void *memory, cudaStream_t stream) {
    ANSWER_FAILURE;
    if (stream) cudaStreamSynchronize(stream);
    size_t bytes;
    unsigned char *base = (unsigned char *)memory - HEADER;
    memcpy(&bytes, base, sizeof bytes);
    used -= (int64_t)bytes;
    free(base);
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned flags) {
    (void)flags;
    ANSWER_FAILURE;
    *memory = malloc(bytes);
    return *memory ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFreeHost(void *memory) {
    ANSWER_FAILURE;
    free(memory);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total) {
    ANSWER_FAILURE;
    *total = (size_t)number_of("FAKE_CUDA_MEMORY", INT64_C(1) << 40);
    *available = *total - (size_t)used;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t *pool, int device) {
    (void)device;
    ANSWER_FAILURE;
    *pool = NULL;
    return cudaSuccess;
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, enum cudaMemPoolAttr attribute, void *value) {
    (void)pool, (void)attribute, (void)value;
    ANSWER_FAILURE;
    return cudaSuccess;
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, enum cudaMemPoolAttr attribute, void *value) {
    (void)pool, (void)attribute;
    ANSWER_FAILURE;
    *(uint64_t *)value = (uint64_t)used;
    return cudaSuccess;
}

/* A fill (`from` NULL) or a copy. */
typedef struct Transfer {
    unsigned char *to;
    const unsigned char *from;
    size_t to_stride, from_stride, bytes, rows;
    int value;
} Transfer;

static void run_transfer(void *payload) {
    const Transfer *t = payload;
    for (size_t row = 0; row < t->rows; row++)
        if (t->from)
            memcpy(t->to + row * t->to_stride, t->from + row * t->from_stride, t->bytes);
        else
            memset(t->to + row * t->to_stride, t->value, t->bytes);
}

enum { LONGEST_PITCH = INT32_MAX }; /* cudaDeviceProp.memPitch */

static cudaError_t transfer(Transfer t, cudaStream_t stream) {
    ANSWER_FAILURE;
    if (t.rows > 1 && (t.to_stride > LONGEST_PITCH || t.from_stride > LONGEST_PITCH)) return cudaErrorInvalidPitchValue;
    CHECK(!stream->lane, "memory is filled and copied on the device's stream");
    fake_enqueue(stream, run_transfer, &t, sizeof t);
    return cudaSuccess;
}

cudaError_t cudaMemset2DAsync(void *to, size_t stride, int value, size_t bytes, size_t rows, cudaStream_t stream) {
    return transfer((Transfer){.to = to, .to_stride = stride, .bytes = bytes, .rows = rows, .value = value}, stream);
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream) {
    return cudaMemset2DAsync(to, bytes, value, bytes, 1, stream);
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_stride, const void *from, size_t from_stride, size_t bytes,
                              size_t rows, enum cudaMemcpyKind kind, cudaStream_t stream) {
    CHECK(kind == cudaMemcpyDefault, "copies must be cudaMemcpyDefault");
    if (bytes > to_stride || bytes > from_stride) return cudaErrorInvalidPitchValue;
    return transfer((Transfer){to, from, to_stride, from_stride, bytes, rows, 0}, stream);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream) {
    return cudaMemcpy2DAsync(to, bytes, from, bytes, bytes, 1, kind, stream);
}

cudaError_t cudaDriverGetVersion(int *version) {
    *version = (int)number_of("FAKE_CUDA_DRIVER", 13000);
    return cudaSuccess;
}

/* How many GPUs CUDA_VISIBLE_DEVICES lets the program see. */
static int visible_gpus(void) {
    const int gpus = (int)number_of("FAKE_CUDA_GPUS", 1);
    const char *list = getenv("CUDA_VISIBLE_DEVICES");
    if (!list) return gpus;
    int named = *list != '\0';
    for (; *list; list++) named += *list == ',';
    return named < gpus ? named : gpus;
}

cudaError_t cudaGetDeviceCount(int *count) {
    *count = visible_gpus();
    return (cudaError_t)number_of("FAKE_CUDA_ERROR", cudaSuccess);
}

cudaError_t cudaSetDevice(int device) {
    gpu = device;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device) {
    *device = gpu;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device) {
    *properties = (struct cudaDeviceProp){.name = "Fake GPU", .major = (int)number_of("FAKE_CUDA_MAJOR", 9)};
    properties->totalGlobalMem = (size_t)number_of("FAKE_CUDA_MEMORY", INT64_C(1) << 40);
    properties->uuid.bytes[0] = (char)device;
    return cudaSuccess;
}

const char *cudaGetErrorName(cudaError_t error) {
    return error == cudaErrorUnknown          ? "cudaErrorUnknown"
           : error == cudaErrorIllegalAddress ? "cudaErrorIllegalAddress"
                                              : "error";
}
const char *cudaGetErrorString(cudaError_t error) {
    return error == cudaErrorUnknown          ? "unknown error"
           : error == cudaErrorIllegalAddress ? "an illegal memory access was encountered"
                                              : "an error";
}
cudaError_t cudaGetLastError(void) { return last; }

/* The fake copies as many bytes as CUDA allows; the real runtime knows the number. */
enum { ARGUMENT_BYTES = KERNEL_ARGUMENT_BYTES };

typedef struct Launch {
    Kernel kernel;
    DType type;
    Grid grid;
    _Alignas(16) unsigned char arguments[ARGUMENT_BYTES];
} Launch;

/* Kernels that work on fp32 in a bf16 training. The emulator has kernels for bf16 only, so the CPU's versions of these
 * are used. */
static const Device *device_of(Kernel kernel, DType type) {
#if LAUNCHES_GPU_KERNELS
    const bool on_fp32 = kernel == KERNEL_add || kernel == KERNEL_cast || kernel == KERNEL_sum_of_squares ||
                         kernel == KERNEL_adamw || kernel == KERNEL_moving_average;
    if (type == BF16 || !on_fp32) return device_emulator();
#else
    (void)kernel, (void)type;
#endif
    return device_cpu();
}

static void run_launch(void *payload) {
    const Launch *l = payload;
    device_of(l->kernel, l->type)->launch(l->kernel, l->type, l->grid, l->arguments);
}

/* Copies ARGUMENT_BYTES bytes, which may be more than the arguments have. They lie on the caller's stack. */
__attribute__((no_sanitize("address"))) static void copy_arguments(unsigned char *to, const unsigned char *arguments) {
    for (int i = 0; i < ARGUMENT_BYTES; i++) to[i] = arguments[i];
}

/* A launch returns the error of an earlier one. */
static void fail_if_told(void) {
    static int64_t launches;
    const char *text = getenv("FAKE_CUDA_STICKY");
    long long rank, number, error = cudaErrorIllegalAddress;
    launches++;
    if (text && sscanf(text, "%lld:%lld:%lld", &rank, &number, &error) >= 2 &&
        rank == number_of("OMPI_COMM_WORLD_RANK", 0) && launches == number)
        fake_fail((cudaError_t)error);
}

cudaError_t launch_cuda(Kernel kernel, DType type, Grid grid, const void *arguments, cudaStream_t stream) {
    ANSWER_FAILURE;
    CHECK(!stream->lane, "kernels run on the device's stream");
    CHECK(grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.y <= 65535 && grid.z <= 65535, "a grid that CUDA refuses");
    Launch launch = {.kernel = kernel, .type = type, .grid = grid};
    copy_arguments(launch.arguments, arguments);
    fake_enqueue(stream, run_launch, &launch, sizeof launch);
    fail_if_told();
    return cudaSuccess;
}
