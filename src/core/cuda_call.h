/* For the files that call CUDA. */
#ifndef FLAME_CORE_CUDA_CALL_H
#define FLAME_CORE_CUDA_CALL_H

#include <cuda_runtime_api.h>
#include <stdbool.h>

#include "base/check.h"
#include "base/log.h"

/* A GPU that fails under way ends the job: there is nothing to go on with. */
#define CUDA(call)                                                                                                     \
    do {                                                                                                               \
        const cudaError_t error_ = (call);                                                                             \
        if (error_ != cudaSuccess) cuda_failed(error_, __FILE__, __LINE__);                                            \
    } while (0)

_Noreturn void cuda_failed(cudaError_t error, const char *file, int line);

/* The stream of the device `cuda`. */
cudaStream_t device_cuda_stream(void);
/* Whether what the device is asked for is recorded instead of done. */
bool device_cuda_recording(void);

#endif
