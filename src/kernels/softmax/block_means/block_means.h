/* Arguments of the block_means kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_SOFTMAX_BLOCK_MEANS_BLOCK_MEANS_H
#define FLAME_KERNELS_SOFTMAX_BLOCK_MEANS_BLOCK_MEANS_H

#include <stdbool.h>
#include <stdint.h>

/* y_r = 1/block times the sum of x_t over the tokens t of the whole block with row r, or 0 if there is no such block.
 * Backward: dx_t = dy_r / block, or 0 for tokens outside of whole blocks. A gradient has the stride of its tensor.
 *
 * If sequences go on from earlier calls, x has the rows of all their tokens, and y already has the rows of blocks that
 * ended earlier: the kernel adds those of blocks that end in this call. */
typedef struct BlockMeansArguments {
    const void *x, *dy;
    void *y, *dx;
    const int32_t *segment, *position;
    int64_t T, tokens, cols, block;  /* tokens: B*T */
    int64_t before;                  /* tokens of each sequence before those of this call */
    int64_t x_rows, rows, first_row; /* rows of x and of y for each sequence; the first row of y that may be new */
    int64_t x_stride, y_stride;
    bool goes_on;
} BlockMeansArguments;

#endif
