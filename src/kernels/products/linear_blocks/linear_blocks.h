/* Arguments of the linear_blocks kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_PRODUCTS_LINEAR_BLOCKS_LINEAR_BLOCKS_H
#define FLAME_KERNELS_PRODUCTS_LINEAR_BLOCKS_LINEAR_BLOCKS_H

#include <stdint.h>

/* Rows and columns of a program; the side of a square on the weight's diagonal, which holds whole blocks; the most
 * weights of one node. */
enum { LINEAR_BLOCKS_ROWS = 256, LINEAR_BLOCKS_COLS = 64, LINEAR_BLOCKS_SQUARE = 16, LINEAR_BLOCKS_MOST = 2 };

/* y_w[b n + i] = sum over j < n of W_w[b][i][j] x[b n + j] for every block b of n columns; n divides 16. Programs: x
 * over columns, y over rows. */
typedef struct LinearBlocksArguments {
    const void *x;
    const void *weight[LINEAR_BLOCKS_MOST]; /* [cols / block, block, block] */
    void *y[LINEAR_BLOCKS_MOST];
    int64_t rows, cols, x_stride, y_stride;
    int32_t count, block; /* weights; n */
} LinearBlocksArguments;

/* dx[b n + j] = sum over w and i of W_w[b][i][j] dy_w[b n + i], dW_w[b][i][j] = sum over rows of dy_w[b n + i] x[b n +
 * j]. dx has x's stride. */
typedef struct LinearBlocksBackwardArguments {
    const void *x;
    const void *weight[LINEAR_BLOCKS_MOST], *dy[LINEAR_BLOCKS_MOST];
    void *dx;
    float *partial; /* [programs over rows, count, cols, block]: parts of dW */
    int64_t rows, cols, x_stride, y_stride;
    int32_t count, block;
} LinearBlocksBackwardArguments;

#endif
