/* A CUDA runtime without a GPU, linked instead of the real one: what device_cuda.c and comm_nccl.c do with streams,
 * events and memory runs on the CPU, and what they say when something is wrong can be made to happen.
 *
 * The device's stream does everything at once. A stream with a priority, where communicators live, does nothing before
 * somebody waits for it: what forgets to wait finds its result missing.
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

#include "core/check.h"
#include "fake_cuda/fake.h"
#include "kernels/launch_cuda.h"

typedef struct Task {
    void (*run)(void *payload);
    void *payload;
    struct Task *next;
} Task;

struct CUstream_st {
    bool lazy;
    Task *first, **last;
};

/* `recorded` counts the calls of cudaEventRecord, `reached` those that its stream has come to. */
struct CUevent_st {
    cudaStream_t stream;
    atomic_long recorded, reached;
};

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

void fake_enqueue(cudaStream_t stream, void (*run)(void *), const void *payload, size_t bytes) {
    Task *task = malloc(sizeof *task);
    void *copy = malloc(bytes);
    CHECK(task && copy, "out of memory");
    memcpy(copy, payload, bytes);
    *task = (Task){run, copy, NULL};
    *stream->last = task;
    stream->last = &task->next;
    while (!stream->lazy && run_first(stream)) continue;
}

static cudaError_t create_stream(cudaStream_t *stream, bool lazy) {
    *stream = calloc(1, sizeof **stream);
    (*stream)->lazy = lazy;
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
    while (run_first(stream)) continue;
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

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    event->stream = stream;
    event->recorded++;
    fake_enqueue(stream, reach, &event, sizeof event);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
    return event->reached < event->recorded ? cudaErrorNotReady : cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    while (event->reached < event->recorded && run_first(event->stream)) continue;
    return cudaSuccess;
}

static void wait_event(void *payload) { cudaEventSynchronize(*(cudaEvent_t *)payload); }

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
    (void)flags;
    fake_enqueue(stream, wait_event, &event, sizeof event);
    return cudaSuccess;
}

cudaError_t cudaMallocAsync(void **memory, size_t bytes, cudaStream_t stream) {
    (void)stream;
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
    (void)stream;
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

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream) {
    CHECK(!stream->lazy, "memory is filled on the device's stream");
    memset(to, value, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemset2DAsync(void *to, size_t stride, int value, size_t bytes, size_t rows, cudaStream_t stream) {
    for (size_t row = 0; row < rows; row++) cudaMemsetAsync((char *)to + row * stride, value, bytes, stream);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream) {
    CHECK(kind == cudaMemcpyDefault && !stream->lazy, "memory is copied on the device's stream");
    memcpy(to, from, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_stride, const void *from, size_t from_stride, size_t bytes,
                              size_t rows, enum cudaMemcpyKind kind, cudaStream_t stream) {
    if (bytes > to_stride || bytes > from_stride) return cudaErrorInvalidPitchValue;
    for (size_t row = 0; row < rows; row++)
        cudaMemcpyAsync((char *)to + row * to_stride, (const char *)from + row * from_stride, bytes, kind, stream);
    return cudaSuccess;
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

cudaError_t launch_cuda(Kernel kernel, DType type, Grid grid, const void *arguments, cudaStream_t stream) {
    CHECK(!stream->lazy, "kernels run on the device's stream");
    CHECK(grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.y <= 65535 && grid.z <= 65535, "a grid that CUDA refuses");
    device_cpu()->launch(kernel, type, grid, arguments);
    return cudaSuccess;
}
