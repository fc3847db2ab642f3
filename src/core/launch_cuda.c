#ifdef FLAME_CUDA
#include "core/launch_cuda.h"

#include <stdbool.h>

#include "base/check.h"
#include "base/log.h"
#include "core/shared_memory_cuda.h" /* generated: the bytes of shared memory of every kernel */

enum { THREADS = 128, LARGE_BYTES = 48 << 10 }; /* kernels that use more shared memory must opt in */

#define KERNEL_ENTRY(name) void name##_cuda_bf16(void), name##_cuda_f32(void);
#include "core/kernels.def"
#undef KERNEL_ENTRY

/* A kernel for F32 and BF16 elements. `function` is the handle for the CUDA runtime, not a host function. */
typedef struct CompiledKernel {
    const char *name;
    void (*function[2])(void);
    int shared_bytes[2];
} CompiledKernel;

static const CompiledKernel compiled[KERNELS] = {
#define KERNEL_ENTRY(name)                                                                                             \
    {#name, {name##_cuda_f32, name##_cuda_bf16}, {name##_cuda_f32_shared, name##_cuda_bf16_shared}},
#include "core/kernels.def"
#undef KERNEL_ENTRY
};

/* Bytes of shared memory that a thread block can have on the current GPU. */
static int shared_memory_of_gpu(void) {
    int number = 0, bytes = 0;
    if (cudaGetDevice(&number) == cudaSuccess)
        cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, number);
    return bytes;
}

static cudaError_t ask_for_shared_memory(const CompiledKernel *kernel, int element) {
    const cudaError_t error =
        cudaFuncSetAttribute((const void *)kernel->function[element], cudaFuncAttributeMaxDynamicSharedMemorySize,
                             kernel->shared_bytes[element]);
    if (error != cudaErrorInvalidValue) return error;
    log_error("%s in %s needs %d KiB of shared memory, and a thread block of this GPU can have %d KiB. %s",
              kernel->name, element == 0 ? "float32" : "bfloat16", kernel->shared_bytes[element] >> 10,
              shared_memory_of_gpu() >> 10,
              element == 0 ? "In bfloat16 (training.mixed_precision_param) it needs half of that"
                           : "Choose a smaller head, or another GPU");
    log_end_job(BAD_INPUT);
}

cudaError_t launch_cuda(Kernel kernel, DType type, Grid grid, const void *arguments, cudaStream_t stream) {
    static bool asked[KERNELS][2];
    if (type != F32 && type != BF16) return cudaErrorInvalidValue;
    const CompiledKernel *k = &compiled[kernel];
    const int element = type == BF16;
    if (k->shared_bytes[element] > LARGE_BYTES && !asked[kernel][element]) {
        const cudaError_t error = ask_for_shared_memory(k, element);
        if (error != cudaSuccess) return error;
        asked[kernel][element] = true;
    }
    void *parameters[] = {(void *)arguments};
    const dim3 blocks = {(unsigned)grid.x, (unsigned)grid.y, (unsigned)grid.z}, threads = {THREADS, 1, 1};
    return cudaLaunchKernel((const void *)k->function[element], blocks, threads, parameters,
                            (size_t)k->shared_bytes[element], stream);
}

#endif
