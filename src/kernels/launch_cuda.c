#ifdef FLAME_CUDA
#include "kernels/launch_cuda.h"

#include <stdbool.h>

#include "kernels/shared_memory_cuda.h" /* made by the build: the bytes of shared memory of every kernel */

enum { THREADS = 128, LARGE_BYTES = 48 << 10 }; /* a kernel that wants more shared memory must ask for it first */

#define KERNEL_ENTRY(name) void name##_cuda_bf16(void), name##_cuda_f32(void);
#include "kernels/kernels.def"
#undef KERNEL_ENTRY

/* `function` is what the runtime knows a kernel by; as a function it is never called from here. */
typedef struct CompiledKernel {
    void (*function)(void);
    int shared_bytes;
} CompiledKernel;

static const CompiledKernel compiled[KERNELS][2] = {
#define KERNEL_ENTRY(name) {{name##_cuda_f32, name##_cuda_f32_shared}, {name##_cuda_bf16, name##_cuda_bf16_shared}},
#include "kernels/kernels.def"
#undef KERNEL_ENTRY
};

cudaError_t launch_cuda(Kernel kernel, DType type, Grid grid, const void *arguments, cudaStream_t stream) {
    static bool asked[KERNELS][2];
    if (type != F32 && type != BF16) return cudaErrorInvalidValue;
    const CompiledKernel k = compiled[kernel][type == BF16];
    const void *function = (const void *)k.function;
    if (k.shared_bytes > LARGE_BYTES && !asked[kernel][type == BF16]) {
        const cudaError_t error =
            cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, k.shared_bytes);
        if (error != cudaSuccess) return error;
        asked[kernel][type == BF16] = true;
    }
    void *parameters[] = {(void *)arguments};
    const dim3 blocks = {(unsigned)grid.x, (unsigned)grid.y, (unsigned)grid.z}, threads = {THREADS, 1, 1};
    return cudaLaunchKernel(function, blocks, threads, parameters, (size_t)k.shared_bytes, stream);
}

#endif
