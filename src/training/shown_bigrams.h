/* Counts how often the training data contain the pairs of tokens that an evaluation contains. */
#ifndef FLAME_TRAINING_SHOWN_BIGRAMS_H
#define FLAME_TRAINING_SHOWN_BIGRAMS_H

#include "data/bigrams.h"
#include "data/stream.h"
#include "parallel/comm.h"

typedef struct ShownBigrams {
    Bigrams *asked;
    double *times; /* [bigrams_count(asked)]: occurrences in one epoch of the training data */
    int64_t rare;  /* pairs that occur at most this often are rare */
} ShownBigrams;

/* Reads both streams once, the training data divided among the ranks. A pair is a token and its label; tokens after the
 * last full window of a file do not count. The caller frees *shown with shown_bigrams_free. Errors are those of
 * stream_read. Collective. */
Status shown_bigrams_count(Comm *comm, Stream *evaluation, Stream *training, int64_t rare, ShownBigrams **shown);
void shown_bigrams_free(ShownBigrams *shown);
/* Whether a pair is rare. It must be one of the evaluation's pairs. */
bool shown_bigrams_is_rare(const ShownBigrams *shown, int32_t first, int32_t second);

#endif
