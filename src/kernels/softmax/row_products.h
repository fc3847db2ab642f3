/* Scalar products of a row, summed by the warp of the row. */
#ifndef FLAME_KERNELS_SOFTMAX_ROW_PRODUCTS_H
#define FLAME_KERNELS_SOFTMAX_ROW_PRODUCTS_H

/* product = the scalar product of two rows of `cols` elements in memory. With a row of the output and its gradient this
 * is delta, which the softmax's backward subtracts. */
#define row_times_row(product, x, y, cols)                                                                             \
    do {                                                                                                               \
        product = 0;                                                                                                   \
        VECTORS_OF(x, y);                                                                                              \
        WARP_SUM_VECTOR(i_, cols, product) {                                                                           \
            READ(x_, (x) + i_);                                                                                        \
            READ(y_, (y) + i_);                                                                                        \
            EACH_LANE(e_) product += x_[e_] * y_[e_];                                                                  \
        }                                                                                                              \
        WARP_TOTAL(product);                                                                                           \
    } while (0)

/* product = the scalar product of `row`, `cols` entries in memory that `read` (READ or READ_F32) reads, and `vector`.
 */
#define row_times_vector(product, read, row, vector, cols)                                                             \
    do {                                                                                                               \
        product = 0;                                                                                                   \
        VECTORS_OF(row);                                                                                               \
        WARP_SUM_VECTOR(i_, cols, product) {                                                                           \
            read(entry_, (row) + i_);                                                                                  \
            EACH_LANE(e_) product += entry_[e_] * (LANE_INSIDE(e_) ? vector[i_ + e_] : 0.0f);                          \
        }                                                                                                              \
        WARP_TOTAL(product);                                                                                           \
    } while (0)

#endif
