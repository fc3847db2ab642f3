/* Samples of a stream into micro-batches, and the loss of a model over a stream. */
#ifndef FLAME_TRAINING_SAMPLES_H
#define FLAME_TRAINING_SAMPLES_H

#include "data/stream.h"
#include "training/session.h"

/* Fills the runner's micro-batch with the B samples from `first` on. Those at `end` and beyond are empty: token 0, no
 * targets. */
Status samples_read(Stream *stream, HostBatch batch, int64_t B, int64_t T, int64_t first, int64_t end);

/* Whether all ranks read the same `count` token files: their sizes and tables of chunks. BAD_INPUT (logged) if not.
 * Collective. */
Status samples_compare(Comm *comm, const Stream *stream, int count);

typedef struct Evaluation {
    double loss_sum; /* nats, over all targets */
    int64_t targets;
} Evaluation;

/* The loss of samples 0 .. samples-1 of the stream, shared out over the ranks, the same on all of them. Collective. */
Status evaluate(Session *session, const RunnerOptions *options, Stream *stream, int64_t samples, Evaluation *result);

#endif
