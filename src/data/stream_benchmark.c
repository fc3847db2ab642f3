#include "data/stream_benchmark.h"

#include "base/clock.h"
#include "data/stream.h"

#include <stdlib.h>

Status stream_benchmark(const char *path, int64_t seq_len, int64_t count, int threads, double seconds,
                        double *tokens_per_second) {
    StreamOptions options = stream_default_options();
    options.files = &path;
    options.seq_len = seq_len;
    options.threads = threads;
    Stream *stream;
    Status status = stream_open(&options, &stream);
    if (status) return status;
    int32_t *tokens = malloc((size_t)(count * seq_len) * sizeof *tokens);
    int32_t *labels = malloc((size_t)(count * seq_len) * sizeof *labels);
    CHECK_MEMORY(tokens && labels, "no memory for %lld samples", (long long)count);
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
    stream_close(stream);
    return status;
}
