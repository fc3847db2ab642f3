/* Work on a fake stream, for the fake libraries: the program exports these functions, and the libraries that it opens
 * call them. */
#ifndef FLAME_TESTS_FAKE_CUDA_H
#define FLAME_TESTS_FAKE_CUDA_H

#include <cuda_runtime_api.h>
#include <stddef.h>

/* Calls run(copy of the payload) when the stream reaches this call. */
void fake_enqueue(cudaStream_t stream, void (*run)(void *payload), const void *payload, size_t bytes);

/* The same for a collective. The GPU runs one collective at a time. */
void fake_enqueue_collective(cudaStream_t stream, void (*run)(void *payload), const void *payload, size_t bytes);

/* The order in which the GPU begins collectives that are ready on several streams. */
typedef enum FakeOrder {
    FAKE_AS_AWAITED, /* first the one that the program waits for */
    FAKE_CONTRARY,   /* first all others */
    FAKE_AS_CALLED   /* the order of the host's calls, also in graphs */
} FakeOrder;
void fake_order_collectives(FakeOrder order);

/* Makes the GPU fail: from now on every call returns `error`, and every call of cuBLASLt and NCCL an error of that
 * library. */
void fake_fail(cudaError_t error);
/* The error of fake_fail; cudaSuccess if the GPU has not failed. */
cudaError_t fake_failure(void);

#endif
