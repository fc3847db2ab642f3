/* Sums over the targets of an evaluation, by what a model can know of them: how much text is before them, and whether
 * it contains the pair of tokens that they complete. */
#ifndef FLAME_TRAINING_TALLY_H
#define FLAME_TRAINING_TALLY_H

#include "data/bigrams.h"
#include "training/runner.h"
#include "training/shown_bigrams.h"

/* Only doubles, because sums over ranks are made of these. */
typedef struct Tally {
    double targets, loss; /* nats */
    double right;         /* targets that no other token is more likely than */
    double bytes;         /* of text */
} Tally;

enum { TALLY_POSITIONS = 32 };

typedef struct Tallies {
    Tally all;
    Tally repeated; /* the token and the one before it occur earlier in the same document, side by side */
    Tally rare;     /* repeated, and rare in the training data; 0: not known */
    Tally position[TALLY_POSITIONS]; /* of the token before the target, within its document: 0, 1, 2-3, 4-7, ... */
} Tallies;

/* The first position of range `range`. */
int64_t tally_first(int range);

/* Adds the targets of a micro-batch of B sequences with T tokens. bytes: of text, of each target (text_bytes.h), NULL:
 * not known. seen: a set for use in here. shown: of the training data, NULL: not known. */
void tally_batch(Tallies *tallies, HostBatch batch, TokenScores scores, int64_t B, int64_t T, const int32_t *bytes,
                 Bigrams *seen, const ShownBigrams *shown);
void tally_add(Tallies *to, const Tallies *from);
/* Sums over the ranks. Collective. */
void tally_reduce(Tallies *tallies, Comm *comm);
/* What is in `all` and not in `part`. */
Tally tally_rest(const Tally *all, const Tally *part);

#endif
