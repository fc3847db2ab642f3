/* One NVIDIA GPU. Everything runs in order on one stream; communicators have streams of their own beside it. The CUDA
 * runtime is linked statically and finds the driver by itself, so that this program starts where there is none. */
#ifdef FLAME_CUDA
#include "core/device_cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "core/cuda_call.h"
#include "core/cuda_gemm.h"
#include "core/launch_cuda.h"

enum { OLDEST_MAJOR = 8 };                       /* compute capability that the kernels need: 8.0 (A100) */
static const int64_t WORKSPACE_BYTES = 32 << 20; /* for products: what cuBLASLt asks for on Hopper */

static struct {
    bool asked;
    CudaState state;
    char text[1024];
    cudaStream_t stream;
    cudaMemPool_t pool;
    uint64_t identity;
    bool recording;
} cuda;

cudaStream_t device_cuda_stream(void) { return cuda.stream; }
bool device_cuda_recording(void) { return cuda.recording; }

const char *cuda_advice(cudaError_t error) {
    switch (error) {
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalAddress:
    case cudaErrorIllegalInstruction:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorMisalignedAddress:
        return "An earlier kernel is at fault, for CUDA reports errors late: CUDA_LAUNCH_BLOCKING=1 with "
               "training.cuda_graph: false ends at its launch, and compute-sanitizer names the access";
    case cudaErrorECCUncorrectable:
        return "The memory of the GPU is damaged: nvidia-smi -q -d ECC counts its errors. The run goes on from its "
               "last "
               "checkpoint";
    default:
        return "The run goes on from its last checkpoint";
    }
}

void cuda_failed(cudaError_t error, const char *file, int line) {
    log_error("the GPU failed: %s (%s) at %s:%d%s. %s", cudaGetErrorString(error), cudaGetErrorName(error), file, line,
              cuda.recording ? ", while a micro-batch was recorded; training.cuda_graph: false avoids that" : "",
              cuda_advice(error));
    log_end_job(IO_ERROR);
}

/* Asks the driver, because cudaGetLastError knows only errors of this program's own CUDA runtime; libraries have
 * theirs. */
cudaError_t cuda_failure(void) {
    size_t available, total;
    return cudaMemGetInfo(&available, &total);
}

/* Whether there was memory. Ends the job after any other error. */
static bool was_allocated(cudaError_t error) {
    if (error == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        return false;
    }
    CUDA(error);
    return true;
}

static void *cuda_allocate(int64_t bytes) {
    void *memory = NULL;
    if (!was_allocated(cudaMallocAsync(&memory, (size_t)bytes, cuda.stream))) return NULL;
    CUDA(cudaMemsetAsync(memory, 0, (size_t)bytes, cuda.stream));
    return memory;
}

static void cuda_release(void *memory, int64_t bytes) {
    (void)bytes;
    CUDA(cudaFreeAsync(memory, cuda.stream));
}

static void *cuda_allocate_host(int64_t bytes) {
    void *memory = NULL;
    return was_allocated(cudaHostAlloc(&memory, (size_t)bytes, cudaHostAllocDefault)) ? memory : NULL;
}

static void cuda_release_host(void *memory, int64_t bytes) {
    (void)bytes;
    CUDA(cudaFreeHost(memory));
}

/* Memory free in the driver, plus memory the pool holds but does not use. */
static int64_t cuda_available(int sharers) {
    size_t available, total;
    uint64_t reserved, used;
    CUDA(cudaMemGetInfo(&available, &total));
    CUDA(cudaMemPoolGetAttribute(cuda.pool, cudaMemPoolAttrReservedMemCurrent, &reserved));
    CUDA(cudaMemPoolGetAttribute(cuda.pool, cudaMemPoolAttrUsedMemCurrent, &used));
    return ((int64_t)available + (int64_t)(reserved - used)) / sharers;
}

static uint64_t cuda_identity(void) { return cuda.identity; }

static const int64_t LONGEST_PITCH = INT32_MAX; /* bytes between rows that one call of CUDA can skip */

static void cuda_fill(void *to, int value, int64_t rows, int64_t bytes, int64_t stride) {
    if (rows == 0 || bytes == 0) return;
    if (stride == bytes || rows == 1)
        CUDA(cudaMemsetAsync(to, value, (size_t)(rows * bytes), cuda.stream));
    else if (stride <= LONGEST_PITCH)
        CUDA(cudaMemset2DAsync(to, (size_t)stride, value, (size_t)bytes, (size_t)rows, cuda.stream));
    else
        for (int64_t row = 0; row < rows; row++) cuda_fill((char *)to + row * stride, value, 1, bytes, bytes);
}

static void cuda_copy(void *to, int64_t to_stride, const void *from, int64_t from_stride, int64_t rows, int64_t bytes) {
    if (rows == 0 || bytes == 0) return;
    if ((to_stride == bytes && from_stride == bytes) || rows == 1)
        CUDA(cudaMemcpyAsync(to, from, (size_t)(rows * bytes), cudaMemcpyDefault, cuda.stream));
    else if (to_stride <= LONGEST_PITCH && from_stride <= LONGEST_PITCH)
        CUDA(cudaMemcpy2DAsync(to, (size_t)to_stride, from, (size_t)from_stride, (size_t)bytes, (size_t)rows,
                               cudaMemcpyDefault, cuda.stream));
    else
        for (int64_t row = 0; row < rows; row++)
            cuda_copy((char *)to + row * to_stride, bytes, (const char *)from + row * from_stride, bytes, 1, bytes);
}

static void cuda_product(const Gemm *g) {
    if (g->m == 0 || g->n == 0) return;
    const int64_t size = dtype_size(g->c_type);
    if (g->k > 0)
        cuda_gemm(g, cuda.stream);
    else if (!g->accumulate)
        cuda_fill(g->c, 0, g->m, g->n * size, g->ldc * size);
}

static void cuda_launch(Kernel kernel, DType type, Grid grid, const void *arguments) {
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    CUDA(launch_cuda(kernel, type, grid, arguments, cuda.stream));
}

static void cuda_synchronize(void) { CUDA(cudaStreamSynchronize(cuda.stream)); }

struct Recording {
    cudaGraphExec_t graph;
};

/* Thread-local capture: other threads may go on using the GPU meanwhile. */
static void cuda_begin_recording(void) {
    cuda.recording = true;
    CUDA(cudaStreamBeginCapture(cuda.stream, cudaStreamCaptureModeThreadLocal));
}

static Recording *cuda_end_recording(void) {
    Recording *recording = malloc(sizeof *recording);
    CHECK_MEMORY(recording, "out of memory");
    cudaGraph_t graph;
    CUDA(cudaStreamEndCapture(cuda.stream, &graph));
    /* With node priorities collectives go before blocks, whose stream has the lowest priority. Otherwise all nodes
     * would have that priority. */
    CUDA(cudaGraphInstantiate(&recording->graph, graph, cudaGraphInstantiateFlagUseNodePriority));
    CUDA(cudaGraphDestroy(graph));
    cuda.recording = false;
    return recording;
}

static void cuda_replay(const Recording *recording) { CUDA(cudaGraphLaunch(recording->graph, cuda.stream)); }

static void cuda_release_recording(Recording *recording) {
    CUDA(cudaGraphExecDestroy(recording->graph));
    free(recording);
}

static const Device device_cuda = {.name = "cuda",
                                   .computes = true,
                                   .nccl = true,
                                   .gpu = LAUNCHES_GPU_KERNELS,
                                   .allocate = cuda_allocate,
                                   .release = cuda_release,
                                   .allocate_host = cuda_allocate_host,
                                   .release_host = cuda_release_host,
                                   .available = cuda_available,
                                   .identity = cuda_identity,
                                   .fill = cuda_fill,
                                   .copy = cuda_copy,
                                   .gemm = cuda_product,
                                   .launch = cuda_launch,
                                   .synchronize = cuda_synchronize,
                                   .begin_recording = cuda_begin_recording,
                                   .end_recording = cuda_end_recording,
                                   .replay = cuda_replay,
                                   .release_recording = cuda_release_recording};

static CudaState answer(CudaState state, const char *format, ...) __attribute__((format(printf, 2, 3)));
static CudaState answer(CudaState state, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(cuda.text, sizeof cuda.text, format, arguments);
    va_end(arguments);
    return cuda.state = state;
}

/* Within a major version of CUDA, programs run on the drivers of all its toolkits (minor version compatibility). */
#define DRIVER_OF_12 "R525"
#define DRIVER_OF_13 "R580"

static int major_of(int version) { return version / 1000; }
static int minor_of(int version) { return version % 1000 / 10; }

static const char *oldest_driver(void) { return major_of(CUDART_VERSION) >= 13 ? DRIVER_OF_13 : DRIVER_OF_12; }

const char *device_cuda_version(void) {
    static char text[64];
    snprintf(text, sizeof text, "CUDA %d.%d, for driver %s or newer", major_of(CUDART_VERSION),
             minor_of(CUDART_VERSION), oldest_driver());
    return text;
}

static CudaState driver_too_old(int driver) {
    const bool runs_12 = major_of(CUDART_VERSION) > 12 && major_of(driver) == 12;
    return answer(
        CUDA_UNUSABLE,
        "the NVIDIA driver is too old: it knows CUDA %d.%d, and this build, for CUDA %d.%d, needs driver %s or "
        "newer. %s",
        major_of(driver), minor_of(driver), major_of(CUDART_VERSION), minor_of(CUDART_VERSION), oldest_driver(),
        runs_12 ? "Take the build for CUDA 12 (launch/bundle.sh makes it), which runs on driver " DRIVER_OF_12
                  " and newer, or update the driver"
                : "Update the driver: no build runs on one older than " DRIVER_OF_12);
}

/* A sentence that says why there is no GPU and what to do. */
static CudaState explain(cudaError_t error, int driver) {
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    switch (error) {
    case cudaErrorInsufficientDriver:
        if (driver == 0)
            return answer(CUDA_ABSENT, "there is no NVIDIA driver here (libcuda.so.1 was not found). Install it; a "
                                       "container needs --gpus all (Docker) or --nv (Apptainer)");
        return driver_too_old(driver);
    case cudaErrorStubLibrary:
        return answer(CUDA_ABSENT, "instead of the NVIDIA driver the toolkit's stub of libcuda.so.1 was found. Take "
                                   "its folder (.../stubs) out of LD_LIBRARY_PATH");
    case cudaErrorNoDevice:
    case cudaSuccess: /* the driver works but reports no GPU */
        if (visible)
            return answer(CUDA_ABSENT,
                          "no GPU is visible, because CUDA_VISIBLE_DEVICES is \"%s\". Unset it, or name "
                          "GPUs that nvidia-smi -L lists",
                          visible);
        return answer(CUDA_ABSENT, "the NVIDIA driver finds no GPU (nvidia-smi -L lists them)");
    case cudaErrorSystemNotReady:
        return answer(CUDA_UNUSABLE, "the GPUs are not ready: the fabric manager does not run (systemctl status "
                                     "nvidia-fabricmanager)");
    case cudaErrorSystemDriverMismatch:
        return answer(CUDA_UNUSABLE, "the NVIDIA driver's kernel module and its libraries are of different versions: "
                                     "reboot, or mount the host's libraries into the container");
    case cudaErrorDevicesUnavailable:
        return answer(CUDA_UNUSABLE, "the GPU is busy: it is in exclusive mode and another process has it");
    default:
        return answer(CUDA_UNUSABLE, "the NVIDIA driver answers %s (%d): %s", cudaGetErrorName(error), (int)error,
                      cudaGetErrorString(error));
    }
}

/* FNV-1a of the UUID of the GPU or MIG slice. */
static uint64_t hash_uuid(const cudaUUID_t *uuid) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < sizeof uuid->bytes; i++) hash = (hash ^ (unsigned char)uuid->bytes[i]) * 0x100000001b3u;
    return hash | 1; /* never 0 */
}

/* Creates the stream and the memory pool, which keeps freed pages. */
static cudaError_t create_stream(int number) {
    uint64_t keep_all = UINT64_MAX;
    cudaError_t error = cudaStreamCreateWithFlags(&cuda.stream, cudaStreamNonBlocking);
    if (error == cudaSuccess) error = cudaDeviceGetDefaultMemPool(&cuda.pool, number);
    if (error == cudaSuccess) error = cudaMemPoolSetAttribute(cuda.pool, cudaMemPoolAttrReleaseThreshold, &keep_all);
    return error;
}

static CudaState open_gpu(int local_rank) {
    int count = 0, driver = 0;
    struct cudaDeviceProp gpu;
    cudaError_t error = cudaGetDeviceCount(&count);
    cudaDriverGetVersion(&driver);
    if (error != cudaSuccess || count == 0) return explain(error, driver);
    const int number = local_rank % count;
    error = cudaSetDevice(number);
    if (error == cudaSuccess) error = cudaGetDeviceProperties(&gpu, number);
    if (error != cudaSuccess) return explain(error, driver);
    if (gpu.major < OLDEST_MAJOR)
        return answer(CUDA_UNUSABLE, "%s has compute capability %d.%d; this program needs %d.0 (A100) or newer",
                      gpu.name, gpu.major, gpu.minor, OLDEST_MAJOR);
    error = create_stream(number);
    if (error != cudaSuccess) return explain(error, driver);
    void *workspace = cuda_allocate(WORKSPACE_BYTES);
    char why[512] = "";
    if (!workspace) return answer(CUDA_UNUSABLE, "%s has no memory left: other programs use it", gpu.name);
    if (!cuda_gemm_open(workspace, WORKSPACE_BYTES, why, sizeof why))
        return answer(CUDA_UNUSABLE,
                      "cuBLAS cannot be opened: %s. Install that of CUDA %d (pip install nvidia-cublas%s), and put its "
                      "folder into LD_LIBRARY_PATH",
                      why, major_of(CUDART_VERSION), major_of(CUDART_VERSION) == 12 ? "-cu12" : "");
    cuda.identity = hash_uuid(&gpu.uuid);
    return answer(CUDA_READY, "%s, number %d of %d, %.1f GB, compute capability %d.%d, driver for CUDA %d.%d", gpu.name,
                  number, count, (double)gpu.totalGlobalMem / 1e9, gpu.major, gpu.minor, major_of(driver),
                  minor_of(driver));
}

CudaState device_cuda_open(int local_rank, const Device **device, char *text, int64_t text_bytes) {
    if (!cuda.asked) open_gpu(local_rank);
    cuda.asked = true;
    *device = cuda.state == CUDA_READY ? &device_cuda : NULL;
    snprintf(text, (size_t)text_bytes, "%s", cuda.text);
    return cuda.state;
}

#endif
