/* The kernels as nvcc compiled them (tile_cuda.h), in builds with FLAME_CUDA. */
#ifndef FLAME_CORE_LAUNCH_CUDA_H
#define FLAME_CORE_LAUNCH_CUDA_H

#include <cuda_runtime_api.h>

#include "core/device.h"

/* Enqueues the programs of a grid on the calling thread's GPU; the grid has some, at most 65535 in y and in z. The
 * arguments are copied. What the runtime says: cudaErrorInvalidValue where the GPU has too little shared memory for the
 * kernel with elements of this type, cudaErrorNoKernelImageForDevice where it is older than those compiled for. */
cudaError_t launch_cuda(Kernel kernel, DType type, Grid grid, const void *arguments, cudaStream_t stream);

#endif
