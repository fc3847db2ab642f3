#include "data/stream_benchmark.h"

#include "base/clock.h"

#include <stdlib.h>

Status stream_benchmark(Stream *stream, int64_t count, double seconds, double *tokens_per_second) {
    const int64_t seq_len = stream_seq_len(stream);
    int32_t *tokens = malloc((size_t)(count * seq_len) * sizeof *tokens);
    int32_t *labels = malloc((size_t)(count * seq_len) * sizeof *labels);
    CHECK_MEMORY(tokens && labels, "no memory for %lld samples", (long long)count);
    Status status = OK;
    double start = seconds_now(), passed = 0;
    int64_t sample = 0;
    while (!status && passed < seconds) {
        status = stream_read(stream, sample, count, tokens, labels, NULL, NULL);
        sample += count;
        passed = seconds_now() - start;
    }
    *tokens_per_second = (double)(sample * seq_len) / passed;
    free(tokens);
    free(labels);
    return status;
}
