#include "training/samples.h"

#include <string.h>

static void fill_empty(HostBatch batch, int64_t first, int64_t last, int64_t T) {
    for (int64_t i = first; i < last; i++) {
        batch.tokens[i] = 0;
        batch.labels[i] = IGNORED_LABEL;
        batch.segment[i] = 0;
        batch.position[i] = (int32_t)(i % T);
    }
}

Status samples_read(Stream *stream, HostBatch batch, int64_t B, int64_t T, int64_t first, int64_t end) {
    const int64_t left = end - first, count = left < 0 ? 0 : left < B ? left : B;
    fill_empty(batch, count * T, B * T, T);
    if (count == 0) return OK;
    return stream_read(stream, first, count, batch.tokens, batch.labels, batch.segment, batch.position);
}

Status evaluate(Session *session, const RunnerOptions *options, Stream *stream, int64_t samples, Evaluation *result) {
    Comm *comm = session->comm;
    double sums[2] = {0, 0};
    for (int64_t first = 0; first < samples; first += options->B * comm->size) {
        const HostBatch batch = runner_batch(session->runner);
        const Status status =
            agree(comm, samples_read(stream, batch, options->B, options->T, first + comm->rank * options->B, samples));
        if (status != OK) return status;
        runner_evaluate(session->runner);
    }
    int64_t targets = 0;
    runner_losses(session->runner, &sums[0], &targets);
    sums[1] = (double)targets;
    comm->f->all_reduce_sum(comm, sums, 2);
    *result = (Evaluation){sums[0], (int64_t)sums[1]};
    return OK;
}
