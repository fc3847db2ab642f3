/* A CUDA runtime without a GPU, linked instead of the real one: what device_cuda.c and comm_nccl.c do with streams,
 * events and memory runs on the CPU, and what they say when something is wrong can be made to happen.
 *
 * The device's stream does everything at once. A stream with a priority, where communicators live, does nothing before
 * somebody waits for it: what forgets to wait finds its result missing. A graph is the list of the calls that made it;
 * from its launch to the next synchronization the device's stream does nothing either.
 *
 * FAKE_CUDA_ERROR   what cudaGetDeviceCount answers, a number       FAKE_CUDA_GPUS    how many there are (1)
 * FAKE_CUDA_DRIVER  the CUDA version of the driver (13000)          FAKE_CUDA_MAJOR   compute capability (9)
 * FAKE_CUDA_MEMORY  bytes of a GPU (2^40) */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "fake_cuda/fake.h"
#include "core/launch_cuda.h"

typedef struct Task {
    void (*run)(void *payload);
    void *payload;
    struct Task *next;
} Task;

struct CUstream_st {
    bool lane, lazy;
    Task *first, **last;
    bool captured;     /* it takes part in the capture that goes on */
    int asked, joined; /* captured calls; of them, those that the stream of the capture waits for */
};

/* `recorded` counts the calls of cudaEventRecord, `reached` those that its stream has come to. */
struct CUevent_st {
    cudaStream_t stream;
    atomic_long recorded, reached;
    cudaGraph_t graph; /* it was recorded last in the capture of this one; NULL: in none */
    int covers;        /* of the captured calls of its stream */
};

/* A captured call on a stream: a task, or the record of an event, or the wait for one. */
typedef struct Node {
    cudaStream_t stream;
    cudaEvent_t record, wait;
    void (*run)(void *payload);
    void *payload;
    size_t bytes;
    struct Node *next;
} Node;

struct CUgraph_st {
    Node *first, **last;
};

enum { LANES = 4 };

static struct {
    cudaGraph_t graph; /* NULL: nothing is captured */
    cudaStream_t stream, lane[LANES];
    int lanes;
} capture;

/* Memory is preceded by its size. */
enum { HEADER = 256 };
static int64_t used;
static int gpu;

static int64_t number_of(const char *name, int64_t otherwise) {
    const char *text = getenv(name);
    return text ? strtoll(text, NULL, 10) : otherwise;
}

static bool run_first(cudaStream_t stream) {
    Task *task = stream->first;
    if (!task) return false;
    stream->first = task->next;
    if (!stream->first) stream->last = &stream->first;
    task->run(task->payload);
    free(task->payload);
    free(task);
    return true;
}

static void *copy_of(const void *payload, size_t bytes) {
    void *copy = malloc(bytes);
    CHECK(copy, "out of memory");
    return memcpy(copy, payload, bytes);
}

static void add_node(Node node) {
    Node *added = copy_of(&node, sizeof node);
    *capture.graph->last = added;
    capture.graph->last = &added->next;
    node.stream->asked++;
}

void fake_enqueue(cudaStream_t stream, void (*run)(void *), const void *payload, size_t bytes) {
    void *copy = copy_of(payload, bytes);
    if (stream->captured) {
        add_node((Node){.stream = stream, .run = run, .payload = copy, .bytes = bytes});
        return;
    }
    Task *task = malloc(sizeof *task);
    CHECK(task, "out of memory");
    *task = (Task){run, copy, NULL};
    *stream->last = task;
    stream->last = &task->next;
    while (!stream->lazy && run_first(stream)) continue;
}

static cudaError_t create_stream(cudaStream_t *stream, bool lane) {
    *stream = calloc(1, sizeof **stream);
    (*stream)->lane = (*stream)->lazy = lane;
    (*stream)->last = &(*stream)->first;
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
    (void)flags;
    return create_stream(stream, false);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int priority) {
    (void)flags;
    return create_stream(stream, priority != 0);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    CHECK(!stream->first, "a stream is destroyed before its work is done");
    free(stream);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    if (stream->captured) return cudaErrorStreamCaptureUnsupported;
    while (run_first(stream)) continue;
    stream->lazy = stream->lane;
    return cudaSuccess;
}

/* The lazy streams' events are waited for one by one in this program: nothing else is left to do. */
cudaError_t cudaDeviceSynchronize(void) { return cudaSuccess; }

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
    *least = 0;
    *greatest = -5;
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
    (void)flags;
    *event = calloc(1, sizeof **event);
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    free(event);
    return cudaSuccess;
}

static void reach(void *payload) { (*(cudaEvent_t *)payload)->reached++; }

static void record(cudaEvent_t event, cudaStream_t stream) {
    event->recorded++;
    fake_enqueue(stream, reach, &event, sizeof event);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    event->stream = stream;
    event->graph = stream->captured ? capture.graph : NULL;
    event->covers = stream->asked;
    if (stream->captured)
        add_node((Node){.stream = stream, .record = event});
    else
        record(event, stream);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
    if (event->graph) return cudaErrorCapturedEvent;
    return event->reached < event->recorded ? cudaErrorNotReady : cudaSuccess;
}

static void wait_event(void *payload) {
    const cudaEvent_t event = *(cudaEvent_t *)payload;
    while (event->reached < event->recorded && run_first(event->stream)) continue;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    if (event->graph) return cudaErrorCapturedEvent;
    wait_event(&event);
    return cudaSuccess;
}

static void wait(cudaEvent_t event, cudaStream_t stream) { fake_enqueue(stream, wait_event, &event, sizeof event); }

/* A stream takes part in a capture from its first wait for a captured event on. */
static cudaError_t capture_wait(cudaStream_t stream, cudaEvent_t event) {
    if (event->graph != capture.graph) return cudaErrorStreamCaptureIsolation;
    if (!stream->captured) {
        CHECK(capture.lanes < LANES, "more than %d streams in a capture", LANES);
        capture.lane[capture.lanes++] = stream;
        stream->captured = true;
        stream->asked = stream->joined = 0;
    }
    if (stream == capture.stream && event->covers > event->stream->joined) event->stream->joined = event->covers;
    add_node((Node){.stream = stream, .wait = event});
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
    (void)flags;
    if (stream->captured || (capture.graph && event->graph == capture.graph)) return capture_wait(stream, event);
    if (event->graph) return cudaErrorCapturedEvent;
    wait(event, stream);
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
    CHECK(mode == cudaStreamCaptureModeThreadLocal && !capture.graph,
          "one capture, of which other threads know nothing");
    capture.graph = calloc(1, sizeof *capture.graph);
    CHECK(capture.graph, "out of memory");
    capture.graph->last = &capture.graph->first;
    capture.stream = stream;
    capture.lanes = 0;
    stream->captured = true;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    *graph = capture.graph;
    capture.graph = NULL;
    stream->captured = false;
    bool joined = true;
    for (int i = 0; i < capture.lanes; i++) {
        capture.lane[i]->captured = false;
        joined &= capture.lane[i]->joined + 1 >= capture.lane[i]->asked; /* the last call is the event's record */
    }
    return joined ? cudaSuccess : cudaErrorStreamCaptureUnjoined;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags) {
    (void)flags;
    *executable = (cudaGraphExec_t)(void *)graph;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    (void)graph; /* the executable one is the same */
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
    const cudaGraph_t graph = (cudaGraph_t)(void *)executable;
    for (Node *node = graph->first, *next; node; node = next) {
        next = node->next;
        free(node->payload);
        free(node);
    }
    free(graph);
    return cudaSuccess;
}

static void run_graph(void *payload) {
    for (const Node *node = (*(cudaGraph_t *)payload)->first; node; node = node->next) {
        const bool here = !node->stream->lane;
        if (node->record && here)
            node->record->reached = ++node->record->recorded;
        else if (node->record)
            record(node->record, node->stream);
        else if (node->wait && here)
            wait_event((void *)&node->wait);
        else if (node->wait)
            wait(node->wait, node->stream);
        else if (here)
            node->run(node->payload);
        else
            fake_enqueue(node->stream, node->run, node->payload, node->bytes);
    }
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
    stream->lazy = true;
    fake_enqueue(stream, run_graph, &executable, sizeof executable);
    return cudaSuccess;
}

cudaError_t cudaMallocAsync(void **memory, size_t bytes, cudaStream_t stream) {
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
    *memory = malloc(bytes);
    return *memory ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFreeHost(void *memory) {
    free(memory);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total) {
    *total = (size_t)number_of("FAKE_CUDA_MEMORY", INT64_C(1) << 40);
    *available = *total - (size_t)used;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t *pool, int device) {
    (void)device;
    *pool = NULL;
    return cudaSuccess;
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, enum cudaMemPoolAttr attribute, void *value) {
    (void)pool, (void)attribute, (void)value;
    return cudaSuccess;
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, enum cudaMemPoolAttr attribute, void *value) {
    (void)pool, (void)attribute;
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

static cudaError_t transfer(Transfer t, cudaStream_t stream) {
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
    CHECK(kind == cudaMemcpyDefault, "the runtime knows what lies where");
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

cudaError_t cudaGetDeviceCount(int *count) {
    *count = (int)number_of("FAKE_CUDA_GPUS", 1);
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

const char *cudaGetErrorName(cudaError_t error) { return error == cudaErrorUnknown ? "cudaErrorUnknown" : "error"; }
const char *cudaGetErrorString(cudaError_t error) { return error == cudaErrorUnknown ? "unknown error" : "an error"; }
cudaError_t cudaGetLastError(void) { return cudaSuccess; }

enum { ARGUMENT_BYTES = 512 }; /* more than any kernel's; the real runtime knows how many */

typedef struct Launch {
    Kernel kernel;
    DType type;
    Grid grid;
    unsigned char arguments[ARGUMENT_BYTES];
} Launch;

static void run_launch(void *payload) {
    const Launch *l = payload;
    device_cpu()->launch(l->kernel, l->type, l->grid, l->arguments);
}

/* Reads on behind the arguments, which lie on the caller's stack. */
__attribute__((no_sanitize("address"))) static void copy_arguments(unsigned char *to, const unsigned char *arguments) {
    for (int i = 0; i < ARGUMENT_BYTES; i++) to[i] = arguments[i];
}

cudaError_t launch_cuda(Kernel kernel, DType type, Grid grid, const void *arguments, cudaStream_t stream) {
    CHECK(!stream->lane, "kernels run on the device's stream");
    CHECK(grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.y <= 65535 && grid.z <= 65535, "a grid that CUDA refuses");
    Launch launch = {.kernel = kernel, .type = type, .grid = grid};
    copy_arguments(launch.arguments, arguments);
    fake_enqueue(stream, run_launch, &launch, sizeof launch);
    return cudaSuccess;
}
