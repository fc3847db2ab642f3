/* The GPU of this process. Compiled in every build: without CUDA there is none, and that is said. */
#ifndef FLAME_CORE_DEVICE_CUDA_H
#define FLAME_CORE_DEVICE_CUDA_H

#include "core/device.h"

typedef enum CudaState {
    CUDA_READY,
    CUDA_ABSENT,  /* no driver, no GPU, or a build without CUDA */
    CUDA_UNUSABLE /* there is one, and it does not work with this program */
} CudaState;

/* Takes GPU number `local_rank` of those that this process sees, counted around. If it is ready, *device is it and
 * `text` names it; else `text` is a sentence that says why not and what to do. Called again it answers the same. */
CudaState device_cuda_open(int local_rank, const Device **device, char *text, int64_t text_bytes);

#endif
