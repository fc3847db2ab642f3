/* How often training has shown the pairs of tokens that an evaluation asks about. */
#ifndef FLAME_TRAINING_SHOWN_BIGRAMS_H
#define FLAME_TRAINING_SHOWN_BIGRAMS_H

#include "data/bigrams.h"
#include "data/stream.h"
#include "parallel/comm.h"

typedef struct ShownBigrams {
    Bigrams *asked;
    double *times; /* [bigrams_count(asked)]: in the training data, once each epoch */
    int64_t rare;  /* pairs are rare that occur at most so often */
} ShownBigrams;

/* Reads both streams once, the training data divided among the ranks. Pairs are those of a token and its label; tokens
 * after the last full window of a file are not seen. The caller frees *shown with shown_bigrams_free. Errors are those
 * of stream_read. Collective. */
Status shown_bigrams_count(Comm *comm, Stream *evaluation, Stream *training, int64_t rare, ShownBigrams **shown);
void shown_bigrams_free(ShownBigrams *shown);
/* The evaluation asks about the pair. */
bool shown_bigrams_is_rare(const ShownBigrams *shown, int32_t first, int32_t second);

#endif
