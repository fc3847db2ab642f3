/* The launch of a kernel on a runtime that only counts shared memory: a kernel that fits is launched with the bytes
 * that it needs, and one that does not fit ends the program with a message. Prints what it does; tests/run/fake_gpu.sh
 * compares. */
#include <stdio.h>

#include "core/launch_cuda.h"

enum { SHARED_BYTES = 163 << 10 };

#define KERNEL_ENTRY(name)                                                                                             \
    void name##_cuda_f32(void);                                                                                        \
    void name##_cuda_f32(void) {}                                                                                      \
    void name##_cuda_bf16(void);                                                                                       \
    void name##_cuda_bf16(void) {}
#include "core/kernels.def"
#undef KERNEL_ENTRY

cudaError_t cudaGetDevice(int *device) {
    *device = 0;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device) {
    (void)device;
    if (attribute != cudaDevAttrMaxSharedMemoryPerBlockOptin) return cudaErrorInvalidValue;
    *value = SHARED_BYTES;
    return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute attribute, int value) {
    (void)function;
    const bool fits = attribute == cudaFuncAttributeMaxDynamicSharedMemorySize && value <= SHARED_BYTES;
    return fits ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaLaunchKernel(const void *function, dim3 blocks, dim3 threads, void **parameters, size_t bytes,
                             cudaStream_t stream) {
    (void)function, (void)parameters, (void)stream;
    printf("%u x %u threads, %zu bytes\n", blocks.x, threads.x, bytes);
    fflush(stdout);
    return cudaSuccess;
}

int main(void) {
    const int arguments = 0;
    const cudaError_t error = launch_cuda(KERNEL_attention_forward_256, BF16, (Grid){7, 1, 1}, &arguments, NULL);
    if (error != cudaSuccess) return 70;
    launch_cuda(KERNEL_attention_forward_256, F32, (Grid){7, 1, 1}, &arguments, NULL);
    return 0;
}
