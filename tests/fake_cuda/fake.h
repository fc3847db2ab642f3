/* What the fake libraries share: work on a fake stream. Exported by the program, used by the libraries it opens. */
#ifndef FLAME_TESTS_FAKE_CUDA_H
#define FLAME_TESTS_FAKE_CUDA_H

#include <cuda_runtime_api.h>
#include <stddef.h>

/* Runs run(a copy of payload) when it is the stream's turn. */
void fake_enqueue(cudaStream_t stream, void (*run)(void *payload), const void *payload, size_t bytes);

#endif
