/* For the files that call CUDA. */
#ifndef FLAME_CORE_CUDA_CALL_H
#define FLAME_CORE_CUDA_CALL_H

#include <cuda_runtime_api.h>
#include <stdbool.h>

#include "base/check.h"
#include "base/log.h"

/* Ends the job if a CUDA call fails: a failed GPU cannot be used further. */
#define CUDA(call)                                                                                                     \
    do {                                                                                                               \
        const cudaError_t error_ = (call);                                                                             \
        if (error_ != cudaSuccess) cuda_failed(error_, __FILE__, __LINE__);                                            \
    } while (0)

_Noreturn void cuda_failed(cudaError_t error, const char *file, int line);
/* The error that the GPU has failed with, or cudaSuccess. To be asked after a library has failed, since the GPU's
 * failure may be the reason. */
cudaError_t cuda_failure(void);
/* What to do about an error, as sentences without the last full stop. launch/slurm.sbatch looks for the last one of
 * errors that are not the program's. */
const char *cuda_advice(cudaError_t error);

/* The stream of the device `cuda`. */
cudaStream_t device_cuda_stream(void);
/* Whether the device is recording a graph. */
bool device_cuda_recording(void);

#endif
