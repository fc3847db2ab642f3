/* Measures the throughput of a stream, for `flame-c bench`. */
#ifndef FLAME_DATA_STREAM_BENCHMARK_H
#define FLAME_DATA_STREAM_BENCHMARK_H

#include "data/stream.h"

/* Reads samples for about `seconds`, `count` at a time. *tokens_per_second counts seq_len tokens per sample. */
Status stream_benchmark(Stream *stream, int64_t count, double seconds, double *tokens_per_second);

#endif
