/* Order without an index: keyed permutations of 0 .. n-1 that are computed, not stored.
 *
 * permutation: a Feistel network on the smallest power of four that holds n; results outside 0 .. n-1 are encrypted
 * again until they fall inside ("cycle walking": Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002).
 *
 * shuffle: the windows of one epoch of one file. Windows lie in blocks (runs of neighbours, a few chunks of the file);
 * the blocks are permuted, a pool is pool_blocks of them in that order, and the windows of a pool are permuted
 * together. A reader thus holds one pool of chunks, from all over the file, and inflates each chunk about once per
 * epoch. */
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
    int64_t block_windows; /* per block; the last block of the file may have fewer */
    int64_t pool_blocks;
    uint64_t key; /* of the file: see hash_mix */
} Shuffle;

/* The window that is read at `index` (0 .. windows-1) of `epoch`. O(1). */
int64_t shuffle_window(const Shuffle *shuffle, int64_t epoch, int64_t index);

/* A well mixed 64-bit value of the two (SplitMix64's finalizer). */
uint64_t hash_mix(uint64_t key, uint64_t value);

#endif
