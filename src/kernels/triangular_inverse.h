/* The inverse of a unit lower triangular matrix of 64 rows. With it the delta rule and its relatives resolve the
 * dependence of a chunk's rows on each other. */
#ifndef FLAME_KERNELS_TRIANGULAR_INVERSE_H
#define FLAME_KERNELS_TRIANGULAR_INVERSE_H

#include "tile/tile.h"

enum { TRIANGULAR_ROWS = 64, TRIANGULAR_BLOCK = 16 };

/* Entry (i, j) of a square block of a [64, 64] matrix, the block's first row and column given. */
#define TRIANGULAR_ENTRY(matrix, first_row, first_col, i, j)                                                           \
    ((matrix)[((first_row) + (i)) * TRIANGULAR_ROWS + (first_col) + (j)])

/* Merges pairs of neighbouring blocks of `size` rows on the diagonal of the inverse, A and the next one, D. If C is the
 * block of `lower` below A and beside D, the block of the inverse in C's place is -D (C A). C A is stored above the
 * diagonal of `lower`. Ends with a sync(). */
#define TRIANGULAR_MERGE(inverse, lower, size)                                                                         \
    do {                                                                                                               \
        EACH_PAIR(row_, j_, TRIANGULAR_ROWS / 2, size) {                                                               \
            const int i_ = row_ % (size), first_ = (row_ - i_) * 2, next_ = first_ + (size);                           \
            float sum_ = 0;                                                                                            \
            for (int k_ = 0; k_ < (size); k_++)                                                                        \
                sum_ += TRIANGULAR_ENTRY(lower, next_, first_, i_, k_) *                                               \
                        TRIANGULAR_ENTRY(inverse, first_, first_, k_, j_);                                             \
            TRIANGULAR_ENTRY(lower, first_, next_, i_, j_) = sum_;                                                     \
        }                                                                                                              \
        sync();                                                                                                        \
        EACH_PAIR(row_, j_, TRIANGULAR_ROWS / 2, size) {                                                               \
            const int i_ = row_ % (size), first_ = (row_ - i_) * 2, next_ = first_ + (size);                           \
            float sum_ = 0;                                                                                            \
            for (int k_ = 0; k_ <= i_; k_++)                                                                           \
                sum_ -=                                                                                                \
                    TRIANGULAR_ENTRY(inverse, next_, next_, i_, k_) * TRIANGULAR_ENTRY(lower, first_, next_, k_, j_);  \
            TRIANGULAR_ENTRY(inverse, next_, first_, i_, j_) = sum_;                                                   \
        }                                                                                                              \
        sync();                                                                                                        \
    } while (0)

/* inverse = (I + lower)^-1, both [64, 64] without gaps, shared by the program's threads. Only the entries of `lower`
 * below the diagonal are read; those above are overwritten. In fp32: first the blocks of 16 rows on the diagonal, by
 * forward substitution, all at the same time with a column per thread; then the blocks between two of them, then those
 * between two pairs. Ends with a sync(). */
DEVICE void triangular_inverse(float *inverse, float *lower) {
    EACH_PAIR(i, j, TRIANGULAR_ROWS, TRIANGULAR_ROWS) inverse[i * TRIANGULAR_ROWS + j] = i == j ? 1.0f : 0.0f;
    sync();
    for (int i = 1; i < TRIANGULAR_BLOCK; i++)
        EACH_PAIR(block, j, TRIANGULAR_ROWS / TRIANGULAR_BLOCK, TRIANGULAR_BLOCK) {
            const int first = block * TRIANGULAR_BLOCK;
            float sum = 0;
            for (int k = 0; k < i; k++)
                sum += TRIANGULAR_ENTRY(lower, first, first, i, k) * TRIANGULAR_ENTRY(inverse, first, first, k, j);
            TRIANGULAR_ENTRY(inverse, first, first, i, j) -= sum;
        }
    sync();
    TRIANGULAR_MERGE(inverse, lower, TRIANGULAR_BLOCK);
    TRIANGULAR_MERGE(inverse, lower, 2 * TRIANGULAR_BLOCK);
}

#endif
