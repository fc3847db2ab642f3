/* Launches the kernels that nvcc compiled (tile_cuda.h). Builds with FLAME_CUDA only. */
#ifndef FLAME_CORE_LAUNCH_CUDA_H
#define FLAME_CORE_LAUNCH_CUDA_H

#include <cuda_runtime_api.h>

#include "core/device.h"

/* Whether launch_cuda launches kernels compiled for the GPU. A fake CUDA runtime may launch the host's instead. */
#ifndef LAUNCHES_GPU_KERNELS
#define LAUNCHES_GPU_KERNELS 1
#endif

/* Launches a kernel on `stream` of the current GPU. The grid is not empty and has at most 65535 programs in y and in z
 * (device_counting has seen to it). Arguments are copied. Ends the job if the kernel needs more shared memory than the
 * GPU has. Returns CUDA's error: cudaErrorNoKernelImageForDevice if the GPU is older than the architectures compiled
 * for. */
cudaError_t launch_cuda(Kernel kernel, DType type, Grid grid, const void *arguments, cudaStream_t stream);

#endif
