/* The inverse of a unit lower triangular matrix of 64 rows, with which the delta rule and its relatives undo the
 * dependence of the rows of a chunk on each other. */
#ifndef FLAME_KERNELS_TRIANGULAR_INVERSE_H
#define FLAME_KERNELS_TRIANGULAR_INVERSE_H

#include "kernels/tile.h"

enum { TRIANGULAR_ROWS = 64, TRIANGULAR_BLOCK = 16, TRIANGULAR_HALF = 32 };

/* With A and D the inverses of two neighbouring blocks on the diagonal, from row `first` on and as large as `product`,
 * and C the block of `lower` below A and beside D: the block of the inverse in C's place is -D (C A). */
#define TRIANGULAR_MERGE(inverse, lower, stride, product, first)                                                       \
    do {                                                                                                               \
        enum { size_ = product##_rows };                                                                               \
        const float *A_ = (inverse) + (first) * (stride) + (first), *D_ = A_ + size_ * (stride) + size_;               \
        const float *C_ = (lower) + ((first) + size_) * (stride) + (first);                                            \
        float *to_ = (inverse) + ((first) + size_) * (stride) + (first);                                               \
        EACH_ENTRY(product, i_, j_, x_, {                                                                              \
            x_ = 0;                                                                                                    \
            for (int k_ = 0; k_ < size_; k_++) x_ += C_[i_ * (stride) + k_] * A_[k_ * (stride) + j_];                  \
        });                                                                                                            \
        sync();                                                                                                        \
        EACH_ENTRY(product, i_, j_, x_, {                                                                              \
            float sum_ = 0;                                                                                            \
            for (int k_ = 0; k_ <= i_; k_++) sum_ += D_[i_ * (stride) + k_] * ENTRY(product, k_, j_);                  \
            to_[i_ * (stride) + j_] = -sum_;                                                                           \
        });                                                                                                            \
        sync();                                                                                                        \
    } while (0)

/* inverse = (I + lower)^-1, both [64, 64] with rows `stride` apart, shared by the program's threads; the entries of
 * `lower` below the diagonal are what counts. In fp32: blocks of 16 rows on the diagonal by forward substitution, then
 * what lies between two blocks, then between two pairs. Ends with a sync(). */
DEVICE void triangular_inverse(float *inverse, const float *lower, int stride) {
    MATRIX(between_blocks, TRIANGULAR_BLOCK, TRIANGULAR_BLOCK);
    MATRIX(between_halves, TRIANGULAR_HALF, TRIANGULAR_HALF);
    for (int i = 0; i < TRIANGULAR_ROWS; i++)
        EACH (j, TRIANGULAR_ROWS) inverse[i * stride + j] = i == j ? 1.0f : 0.0f;
    sync();
    for (int first = 0; first < TRIANGULAR_ROWS; first += TRIANGULAR_BLOCK) {
        float *block = inverse + first * stride + first;
        for (int i = 1; i < TRIANGULAR_BLOCK; i++) {
            const float *factor = lower + (first + i) * stride + first;
            EACH (j, TRIANGULAR_BLOCK) {
                float sum = 0;
                for (int k = 0; k < i; k++) sum += factor[k] * block[k * stride + j];
                block[i * stride + j] -= sum;
            }
        }
    }
    sync();
    TRIANGULAR_MERGE(inverse, lower, stride, between_blocks, 0);
    TRIANGULAR_MERGE(inverse, lower, stride, between_blocks, TRIANGULAR_HALF);
    TRIANGULAR_MERGE(inverse, lower, stride, between_halves, 0);
}

#endif
