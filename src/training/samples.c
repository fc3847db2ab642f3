#include "training/samples.h"

#include <inttypes.h>
#include <string.h>

#include "base/activity.h"
#include "base/clock.h"
#include "base/crc.h"
#include "base/log.h"
#include "base/signals.h"
#include "parallel/agreement.h"
#include "training/windows.h"

static void fill_empty(HostBatch batch, int64_t first, int64_t last, int64_t T) {
    for (int64_t i = first; i < last; i++) {
        batch.tokens[i] = 0;
        batch.labels[i] = PADDING_LABEL;
        batch.segment[i] = 0;
        batch.position[i] = (int32_t)(i % T);
    }
}

Status samples_open(Comm *comm, const StreamOptions *options, Stream **stream) {
    Status status = OK;
    for (int turn = 0; turn < 2 && status == OK; turn++) {
        if ((turn == 0) == (comm->rank == 0)) status = stream_open(options, stream);
        status = agree(comm, status);
    }
    return status;
}

static Status read_own(Stream *stream, HostBatch batch, int64_t B, int64_t T, int64_t first, int64_t end) {
    const int64_t left = end - first, count = left < 0 ? 0 : left < B ? left : B;
    fill_empty(batch, count * T, B * T, T);
    if (count == 0) return OK;
    return stream_read(stream, first, count, batch.tokens, batch.labels, batch.segment, batch.position);
}

/* samples_read for windows of T tokens, in any arrays. */
static Status read_windows(Session *session, HostBatch batch, int64_t B, int64_t T, Stream *stream, int64_t first,
                           int64_t end, bool *give_up) {
    Comm *comm = session->comm;
    double now = (signals_requested() & SIGNAL_NOW) != 0;
    comm->f->all_reduce_max(comm, &now, 1);
    *give_up = now > 0;
    if (*give_up) return OK;
    activity_set("reading data");
    const double start = seconds_now();
    const Status status = read_own(stream, batch, B, T, first + comm->rank * B, end);
    session->reading_seconds += seconds_now() - start;
    activity_set("computing");
    const Status worst = agree(comm, status);
    session->data_seconds += seconds_now() - start;
    return worst;
}

Status samples_read(Session *session, const RunnerOptions *options, Stream *stream, int64_t first, int64_t end,
                    bool *give_up) {
    return read_windows(session, runner_batch(session->runner), options->B, options->T, stream, first, end, give_up);
}

Status samples_compare(Comm *comm, const Stream *stream, int count) {
    Agreement *agreement = agreement_begin();
    for (int i = 0; i < count; i++) {
        const TokensFacts *f = stream_file(stream, i);
        const uint32_t chunks =
            f->chunk_crc32 ? crc_update(0, f->chunk_crc32, f->chunks * (int64_t)sizeof(uint32_t)) : 0;
        const uint32_t documents = crc_update(0, f->doc_ends, f->documents * (int64_t)sizeof *f->doc_ends);
        agreement_add(agreement, f->path, "%lld bytes, %lld tokens, %lld documents, chunks %08" PRIx32 "/%08" PRIx32,
                      (long long)f->file_bytes, (long long)f->tokens, (long long)f->documents, chunks, documents);
    }
    return agreement_end(agreement, comm, "let all hosts see the same data files");
}

/* Evaluates the next B windows of each rank. */
static Status evaluate_some(Session *session, const RunnerOptions *options, Windows *windows, Stream *stream,
                            int64_t sample, int64_t end, const Witness *witness, bool *give_up) {
    Runner *runner = session->runner;
    const HostBatch batch = windows ? windows_batch(windows) : runner_batch(runner);
    const int64_t T = windows ? options->tokens : options->T;
    const Status status = read_windows(session, batch, options->B, T, stream, sample, end, give_up);
    if (status != OK || *give_up) return status;
    TokenScores scores = {0};
    if (windows)
        scores = windows_evaluate(windows, runner);
    else
        runner_evaluate(runner);
    if (!windows && witness) scores = runner_scores(runner);
    if (witness) witness->see(witness->state, batch, scores);
    return OK;
}

Status evaluate(Session *session, const RunnerOptions *options, Stream *stream, int64_t first, int64_t end,
                const Witness *witness, Evaluation *result) {
    Comm *comm = session->comm;
    double sums[2] = {0, 0};
    *result = (Evaluation){0};
    Windows *windows = options->tokens > 0 ? windows_create(options) : NULL;
    Status status = OK;
    for (int64_t sample = first; sample < end && status == OK && !result->given_up; sample += options->B * comm->size)
        status = evaluate_some(session, options, windows, stream, sample, end, witness, &result->given_up);
    windows_free(windows);
    if (status != OK || result->given_up) return status;
    int64_t targets = 0;
    runner_losses(session->runner, &sums[0], &targets);
    sums[1] = (double)targets;
    comm->f->all_reduce_sum(comm, sums, 2);
    *result = (Evaluation){.loss_sum = sums[0], .targets = (int64_t)sums[1]};
    if (result->targets > 0) return OK;
    if (comm->rank == 0)
        log_error("%s: none of %lld samples has a target: every document is one token long",
                  stream_file(stream, stream_place(stream, first).file)->path, (long long)(end - first));
    return BAD_INPUT;
}
