/* Blocks of tokens, counted from the start of each document: which rows they have. For the host and for kernels.
 *
 * A block is whole if its document has all of its tokens. Whole blocks do not overlap, so no two of them begin within
 * the same `block` tokens of a sequence. Hence the block that begins at token s has row s / block of its sequence, and
 * the rows of a document follow each other. */
#ifndef FLAME_KERNELS_SOFTMAX_DOCUMENT_BLOCKS_H
#define FLAME_KERNELS_SOFTMAX_DOCUMENT_BLOCKS_H

#include <stdint.h>

#include "tile/rows.h"

/* The number of rows that a sequence has for whole blocks. At least one, even if no block fits. */
HOST_AND_DEVICE int64_t block_rows(int64_t T, int64_t block) { return T < block ? 1 : T / block; }

/* A set of blocks of a document is stored in words of 32 bits, with a bit for every block, whole or not. */
enum { BITS_OF_WORD = 32 };
HOST_AND_DEVICE int64_t words_of_blocks(int64_t T, int64_t block) {
    return blocks_of(blocks_of(T, block), BITS_OF_WORD);
}

#ifdef FLAME_KERNEL_FILE
/* The number of the lowest bit of x that is 1, found as the exponent of a float. x must not be 0. */
DEVICE int lowest_bit(uint32_t x) {
    union {
        float value;
        uint32_t bits;
    } u;
    u.value = (float)(x & (0u - x));
    return (int)(u.bits >> 23) - 127;
}

/* Whether the block that begins at token s is whole. One comparison is enough, because document numbers never
 * decrease. */
DEVICE bool is_whole(const int32_t *segment, int T, int s, int block) {
    return s + block <= T && segment[s + block - 1] == segment[s];
}
#endif

#endif
