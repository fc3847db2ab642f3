/* MQAR whose keys are assigned again all the time (MQRAR with n back, arXiv 2410.17980 and 2505.16381): pairs of a key
 * and a value, first one of each key, then of keys at random. Where a key has had n values, the last but n - 1 of them
 * is to be named before the next one comes.
 *
 *   x       5 19 2 30 | 2 28 5 24 2 21 ...       n = 1
 *   scored  . .  . .  | 30 . 19 . 28 . ... */
#ifndef FLAME_SUITES_MQAR_REPEATED_H
#define FLAME_SUITES_MQAR_REPEATED_H

#include "suites/task.h"

/* first_value: of `values` tokens that are values. */
typedef struct RepeatedPairs {
    int64_t seq_len, pairs, n_back;
    const int32_t *key; /* [pairs], all different, in the order of their first values */
    int64_t first_value, values;
} RepeatedPairs;

/* Fills an example of seq_len tokens, an even number. */
void repeated_pairs_write(const RepeatedPairs *c, Draws *draws, Example e);

#endif
