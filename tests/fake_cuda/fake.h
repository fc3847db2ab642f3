/* What the fake libraries share: work on a fake stream. Exported by the program, used by the libraries it opens. */
#ifndef FLAME_TESTS_FAKE_CUDA_H
#define FLAME_TESTS_FAKE_CUDA_H

#include <cuda_runtime_api.h>
#include <stddef.h>

/* Runs run(a copy of payload) when it is the stream's turn. */
void fake_enqueue(cudaStream_t stream, void (*run)(void *payload), const void *payload, size_t bytes);

/* The same for a collective, of which the GPU runs one at a time. */
void fake_enqueue_collective(cudaStream_t stream, void (*run)(void *payload), const void *payload, size_t bytes);

/* What the GPU does with collectives that are ready on several streams. */
typedef enum FakeOrder {
    FAKE_AS_AWAITED, /* begins the one that somebody waits for */
    FAKE_CONTRARY,   /* begins all others first */
    FAKE_AS_CALLED   /* begins them in the order of the host's calls, also those of graphs */
} FakeOrder;
void fake_order_collectives(FakeOrder order);

/* The GPU has failed: from now on every call answers this, and every call of cuBLASLt and NCCL a failure of its own. */
void fake_fail(cudaError_t error);
/* cudaSuccess: it has not. */
cudaError_t fake_failure(void);

#endif
