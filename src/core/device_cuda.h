/* The GPU of this process. A build without CUDA has this header too and reports that there is none. */
#ifndef FLAME_CORE_DEVICE_CUDA_H
#define FLAME_CORE_DEVICE_CUDA_H

#include "core/device.h"

typedef enum CudaState {
    CUDA_READY,
    CUDA_ABSENT,  /* no driver, no GPU, or a build without CUDA */
    CUDA_UNUSABLE /* there is a GPU, but this program cannot run on it */
} CudaState;

/* Opens GPU number `local_rank`, modulo the number of visible GPUs. On CUDA_READY *device is the GPU and `text` its
 * name; otherwise `text` says in a sentence why there is none and what to do. Later calls return the first call's
 * result. */
CudaState device_cuda_open(int local_rank, const Device **device, char *text, int64_t text_bytes);

/* The CUDA of this build and the oldest driver that it runs on, for --version. */
const char *device_cuda_version(void);

#endif
