/* The inverse of a unit lower triangular matrix of 64 rows, with which the delta rule and its relatives undo the
 * dependence of the rows of a chunk on each other. */
#ifndef FLAME_KERNELS_RECURRENCES_TRIANGULAR_INVERSE_H
#define FLAME_KERNELS_RECURRENCES_TRIANGULAR_INVERSE_H

#include "tile/tile.h"

enum { TRIANGULAR_ROWS = 64, TRIANGULAR_BLOCK = 16 };

/* A square block of a matrix of 64 columns, from row i and column j on, as a matrix of its own. */
#define TRIANGULAR_VIEW(name, matrix, i, j, size)                                                                      \
    enum { name##_rows = (size), name##_cols = (size), name##_stride = TRIANGULAR_ROWS };                              \
    float *const name = (matrix) + (i)*TRIANGULAR_ROWS + (j)

/* With A and D the inverses of two neighbouring blocks of `size` rows on the diagonal, from row `first` on, and C the
 * block of `lower` below A and beside D: the block of the inverse in C's place is -D (C A). C A goes above the diagonal
 * of `lower`. */
#define TRIANGULAR_MERGE(inverse, lower, first, size)                                                                  \
    do {                                                                                                               \
        TRIANGULAR_VIEW(A_, inverse, first, first, size);                                                              \
        TRIANGULAR_VIEW(C_, lower, (first) + (size), first, size);                                                     \
        TRIANGULAR_VIEW(D_, inverse, (first) + (size), (first) + (size), size);                                        \
        TRIANGULAR_VIEW(product_, lower, first, (first) + (size), size);                                               \
        TRIANGULAR_VIEW(result_, inverse, (first) + (size), first, size);                                              \
        EACH_ENTRY(product_, i_, j_, x_, {                                                                             \
            x_ = 0;                                                                                                    \
            for (int k_ = 0; k_ < (size); k_++) x_ += ENTRY(C_, i_, k_) * ENTRY(A_, k_, j_);                           \
        });                                                                                                            \
        sync();                                                                                                        \
        EACH_ENTRY(result_, i_, j_, x_, {                                                                              \
            x_ = 0;                                                                                                    \
            for (int k_ = 0; k_ <= i_; k_++) x_ -= ENTRY(D_, i_, k_) * ENTRY(product_, k_, j_);                        \
        });                                                                                                            \
        sync();                                                                                                        \
    } while (0)

/* inverse = (I + lower)^-1, both [64, 64] without gaps, shared by the program's threads. What counts in `lower` is
 * below the diagonal; what is above is overwritten. In fp32: blocks of 16 rows on the diagonal by forward substitution,
 * then what lies between two blocks, then between two pairs. Ends with a sync(). */
DEVICE void triangular_inverse(float *inverse, float *lower) {
    for (int i = 0; i < TRIANGULAR_ROWS; i++)
        EACH (j, TRIANGULAR_ROWS) inverse[i * TRIANGULAR_ROWS + j] = i == j ? 1.0f : 0.0f;
    sync();
    for (int first = 0; first < TRIANGULAR_ROWS; first += TRIANGULAR_BLOCK)
        for (int i = 1; i < TRIANGULAR_BLOCK; i++) {
            const float *factor = lower + (first + i) * TRIANGULAR_ROWS + first;
            float *block = inverse + first * TRIANGULAR_ROWS + first;
            EACH (j, TRIANGULAR_BLOCK) {
                float sum = 0;
                for (int k = 0; k < i; k++) sum += factor[k] * block[k * TRIANGULAR_ROWS + j];
                block[i * TRIANGULAR_ROWS + j] -= sum;
            }
        }
    sync();
    TRIANGULAR_MERGE(inverse, lower, 0, TRIANGULAR_BLOCK);
    TRIANGULAR_MERGE(inverse, lower, 2 * TRIANGULAR_BLOCK, TRIANGULAR_BLOCK);
    TRIANGULAR_MERGE(inverse, lower, 0, 2 * TRIANGULAR_BLOCK);
}

#endif
