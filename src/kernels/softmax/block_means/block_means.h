/* Arguments of the block_means kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_SOFTMAX_BLOCK_MEANS_BLOCK_MEANS_H
#define FLAME_KERNELS_SOFTMAX_BLOCK_MEANS_BLOCK_MEANS_H

#include <stdint.h>

/* y_r = 1/block sum of x_t over the tokens t of the whole block with row r, 0 if there is none.
 * Backward: dx_t = dy_r / block, 0 for tokens outside of whole blocks. A gradient has the stride of its tensor. */
typedef struct BlockMeansArguments {
    const void *x, *dy;
    void *y, *dx;
    const int32_t *segment, *position;
    int64_t T, tokens, cols, block, rows; /* tokens: B*T; rows: of y for each sequence */
    int64_t x_stride, y_stride;
} BlockMeansArguments;

#endif
