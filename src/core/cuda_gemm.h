/* Matrix products on a GPU, by cuBLASLt, which is opened at run time. */
#ifndef FLAME_CORE_CUDA_GEMM_H
#define FLAME_CORE_CUDA_GEMM_H

#include <cuda_runtime_api.h>

#include "core/device.h"

/* False if the library cannot be used; `why` says so. `workspace` is memory of the GPU for the products that follow. */
bool cuda_gemm_open(void *workspace, int64_t workspace_bytes, char *why, int64_t why_bytes);
/* Device.gemm on `stream`. */
void cuda_gemm(const Gemm *gemm, cudaStream_t stream);

#endif
