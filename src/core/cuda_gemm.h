/* Matrix products on a GPU, by cuBLASLt, which is opened at run time. */
#ifndef FLAME_CORE_CUDA_GEMM_H
#define FLAME_CORE_CUDA_GEMM_H

#include <cuda_runtime_api.h>

#include "core/device.h"

/* Opens cuBLASLt; false if that fails, with the reason in `why`. `workspace` is GPU memory for all later products. */
bool cuda_gemm_open(void *workspace, int64_t workspace_bytes, char *why, int64_t why_bytes);
/* Device.gemm on `stream`. */
void cuda_gemm(const Gemm *gemm, cudaStream_t stream);

#endif
