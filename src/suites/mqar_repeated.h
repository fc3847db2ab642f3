/* MQAR whose keys are assigned new values again and again (MQRAR with n back, arXiv 2410.17980 and 2505.16381): pairs
 * of a key and a value, first one pair for each key, then pairs of random keys. If a key has had at least n values, the
 * n-th last of them is to be predicted before its next value comes.
 *
 *   x       5 19 2 30 | 2 28 5 24 2 21 ...       n = 1
 *   scored  . .  . .  | 30 . 19 . 28 . ... */
#ifndef FLAME_SUITES_MQAR_REPEATED_H
#define FLAME_SUITES_MQAR_REPEATED_H

#include "suites/task.h"

/* The values are the `values` tokens from first_value on. */
typedef struct RepeatedPairs {
    int64_t seq_len, pairs, n_back;
    const int32_t *key; /* [pairs], all different, in the order of their first values */
    int64_t first_value, values;
} RepeatedPairs;

/* Fills an example of seq_len tokens. seq_len is even. */
void repeated_pairs_write(const RepeatedPairs *c, Draws *draws, Example e);

#endif
