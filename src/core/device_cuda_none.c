/* device_cuda.h in a build without CUDA. */
#ifndef FLAME_CUDA
#include <stdio.h>

#include "core/device_cuda.h"

CudaState device_cuda_open(int local_rank, const Device **device, char *text, int64_t text_bytes) {
    (void)local_rank;
    *device = NULL;
    snprintf(text, (size_t)text_bytes,
             "this program was built without CUDA: install the CUDA toolkit (nvcc), build with -DFLAME_CUDA=ON");
    return CUDA_ABSENT;
}

const char *device_cuda_version(void) { return "no CUDA"; }

#endif
