/* Samples of a stream into micro-batches, and the loss of a model over a stream. */
#ifndef FLAME_TRAINING_SAMPLES_H
#define FLAME_TRAINING_SAMPLES_H

#include "data/stream.h"
#include "training/session.h"

/* stream_open, on rank 0 first and then on the others: only rank 0 tries in a process of its own whether a file ends
 * HDF5. Whatever it returns, *stream is a stream to be closed or what it was before. Collective. */
Status samples_open(Comm *comm, const StreamOptions *options, Stream **stream);

/* Fills the runner's micro-batch: B samples for each rank, from `first` on in the order of the ranks. Those at `end`
 * and beyond are empty: token 0, no targets. *give_up: a rank was asked to end now (SIGNAL_NOW), so that the
 * micro-batch is not worth running. All ranks return the same. Collective. */
Status samples_read(Session *session, const RunnerOptions *options, Stream *stream, int64_t first, int64_t end,
                    bool *give_up);

/* Whether all ranks read the same `count` token files: their sizes and tables of chunks. BAD_INPUT (logged) if not.
 * Collective. */
Status samples_compare(Comm *comm, const Stream *stream, int count);

typedef struct Evaluation {
    double loss_sum; /* nats, over all targets */
    int64_t targets;
    bool given_up; /* a rank was asked to end now: there is no result */
} Evaluation;

/* The loss of samples 0 .. samples-1 of the stream, shared out over the ranks, the same on all of them and, up to
 * rounding, whatever their number and options->B. BAD_INPUT if these have no targets. Collective. */
Status evaluate(Session *session, const RunnerOptions *options, Stream *stream, int64_t samples, Evaluation *result);

#endif
