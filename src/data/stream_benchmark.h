/* Measures the throughput of a stream, for `flame-c bench`. */
#ifndef FLAME_DATA_STREAM_BENCHMARK_H
#define FLAME_DATA_STREAM_BENCHMARK_H

#include "base/check.h"

#include <stdint.h>

/* Reads shuffled samples of seq_len tokens of one file for about `seconds`, `count` at a time, with `threads` reader
 * threads besides the calling one. *tokens_per_second counts seq_len tokens per sample. Opening is not timed. */
Status stream_benchmark(const char *path, int64_t seq_len, int64_t count, int threads, double seconds,
                        double *tokens_per_second);

#endif
