/* Keyed permutations of 0 .. n-1 that are computed element by element, without a table.
 *
 * permutation: a Feistel network on the smallest power of four that holds n; results outside 0 .. n-1 are encrypted
 * again until they fall inside ("cycle walking": Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002).
 *
 * shuffle: the order of the windows of a file in one epoch, in two levels. A block is a run of consecutive windows, a
 * few chunks long. The blocks are permuted and divided into pools of pool_blocks; then the windows of each pool are
 * permuted. With 8 blocks and pool_blocks 2:
 *
 *   file        0 1 2 3 4 5 6 7
 *   permuted    5 2 | 7 0 | 3 6 | 1 4       four pools; the windows of 5 and 2 are shuffled together, and so on
 *
 * So a reader that keeps the chunks of one pool in memory inflates each chunk about once per epoch. */
#ifndef FLAME_DATA_SHUFFLE_H
#define FLAME_DATA_SHUFFLE_H

#include <stdint.h>

typedef struct Permutation {
    uint64_t count;
    uint64_t key;
    int half_bits;
} Permutation;

/* count >= 1. */
Permutation permutation_make(uint64_t count, uint64_t key);
uint64_t permutation_apply(const Permutation *permutation, uint64_t index);
uint64_t permutation_invert(const Permutation *permutation, uint64_t index);

typedef struct Shuffle {
    int64_t windows;       /* in one epoch */
    int64_t block_windows; /* windows per block; the last block of the file may have fewer */
    int64_t pool_blocks;
    uint64_t key; /* hash_mix(seed, file) */
} Shuffle;

/* The window at position `index` (0 .. windows - 1) of the order of `epoch`. O(1). */
int64_t shuffle_window(const Shuffle *shuffle, int64_t epoch, int64_t index);

/* A 64-bit hash of both numbers (SplitMix64's finalizer). */
uint64_t hash_mix(uint64_t key, uint64_t value);

#endif
