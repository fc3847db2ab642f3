/* Reads samples of a stream into micro-batches, and evaluates a model on a stream. */
#ifndef FLAME_TRAINING_SAMPLES_H
#define FLAME_TRAINING_SAMPLES_H

#include "data/stream.h"
#include "training/session.h"

/* Calls stream_open on rank 0, then on the others. Only rank 0 opens each file in a child process first, because
 * damaged files can crash HDF5. On failure *stream is unchanged, or a stream that the caller closes. Collective. */
Status samples_open(Comm *comm, const StreamOptions *options, Stream **stream);

/* Fills the runner's micro-batch: rank r gets the B samples from first + r * B on. Samples at `end` and beyond are
 * empty: token 0, no targets. *give_up says that a rank has received SIGNAL_NOW, so the micro-batch must not be run.
 * All ranks return the same. Collective. */
Status samples_read(Session *session, const RunnerOptions *options, Stream *stream, int64_t first, int64_t end,
                    bool *give_up);

/* Checks that all ranks have the same `count` token files, by their sizes and chunk tables. BAD_INPUT (logged) if not.
 * Collective. */
Status samples_compare(Comm *comm, const Stream *stream, int count);

typedef struct Evaluation {
    double loss_sum; /* nats, over all targets */
    int64_t targets;
    bool given_up; /* a rank has received SIGNAL_NOW: there is no result */
} Evaluation;

/* `see` is called for each micro-batch of an evaluation after it has run, with `state`. */
typedef struct Witness {
    void (*see)(void *state, HostBatch batch, TokenScores scores);
    void *state;
} Witness;

/* Computes the loss of samples first .. end-1 of the stream, divided among the ranks. All ranks get the same result; up
 * to rounding it does not depend on their number or on options->B. With options->tokens a sample has that many tokens,
 * and the model reads them in pieces of options->T (windows.h). `witness` is called for this rank's micro-batches;
 * NULL: none. BAD_INPUT if these samples have no targets. Collective. */
Status evaluate(Session *session, const RunnerOptions *options, Stream *stream, int64_t first, int64_t end,
                const Witness *witness, Evaluation *result);

#endif
