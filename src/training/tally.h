/* Sums over the targets of an evaluation, split by what a model can know about a target: how much text precedes it, and
 * whether that text contains the pair of tokens that the target completes. */
#ifndef FLAME_TRAINING_TALLY_H
#define FLAME_TRAINING_TALLY_H

#include "data/bigrams.h"
#include "training/runner.h"
#include "training/shown_bigrams.h"

/* All fields are doubles, because these can be summed over ranks. */
typedef struct Tally {
    double targets, loss; /* nats */
    double right;         /* number of targets for which no other token is more likely */
    double bytes;         /* bytes of text */
} Tally;

enum { TALLY_POSITIONS = 32 };

typedef struct Tallies {
    Tally all;
    Tally repeated; /* the target and the token before it occur together earlier in the same document */
    Tally rare;     /* repeated, and rare in the training data; all 0 if that is not known */
    Tally position[TALLY_POSITIONS]; /* by the position of the token before the target in its document: 0, 1, 2-3, 4-7,
                                        ... */
} Tallies;

/* The first position of range `range`. */
int64_t tally_first(int range);

/* Adds the targets of a micro-batch of B sequences with T tokens. bytes: the bytes of text of each target
 * (text_bytes.h); NULL: not known. seen: a set that this function uses as working memory. shown: the pairs in the
 * training data; NULL: not known. */
void tally_batch(Tallies *tallies, HostBatch batch, TokenScores scores, int64_t B, int64_t T, const int32_t *bytes,
                 Bigrams *seen, const ShownBigrams *shown);
void tally_add(Tallies *to, const Tallies *from);
/* Sums over the ranks. Collective. */
void tally_reduce(Tallies *tallies, Comm *comm);
/* The tally of the targets in `all` that are not in `part`. */
Tally tally_rest(const Tally *all, const Tally *part);

#endif
