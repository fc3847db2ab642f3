/* Arguments of the short_convolution kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_CONVOLUTION_SHORT_CONVOLUTION_SHORT_CONVOLUTION_H
#define FLAME_KERNELS_CONVOLUTION_SHORT_CONVOLUTION_SHORT_CONVOLUTION_H

#include <stdbool.h>
#include <stdint.h>

#include "tile/rows.h"

enum {
    SHORT_CONVOLUTION_WIDTH = 64, /* the widest; up to 4 is fast, and 4 is fastest */
    SHORT_CONVOLUTION_ROWS = 64,  /* rows and columns of a part, the work of a warp */
    SHORT_CONVOLUTION_COLS = 256,
    SHORT_CONVOLUTION_PARTS = 4 /* of a program, which follow each other: first all columns, then the next rows */
};

/* Scratch of a program of backward with more than 4 taps, in entries. */
#define SHORT_CONVOLUTION_SCRATCH(width) ((2 * (width) + 1) * (4 * SHORT_CONVOLUTION_COLS + 16))

HOST_AND_DEVICE int64_t short_convolution_parts(int64_t rows, int64_t cols) {
    return blocks_of(rows, SHORT_CONVOLUTION_ROWS) * blocks_of(cols, SHORT_CONVOLUTION_COLS);
}

/* weight [cols, width], bias [cols] or NULL for 0 -> taps [blocks of columns, width + 1, SHORT_CONVOLUTION_COLS] fp32,
 * the last row the bias: neighbouring columns lie side by side, and what one program reads lies together. */
typedef struct ShortConvolutionTapsArguments {
    const void *weight, *bias;
    float *taps;
    int64_t cols, width;
} ShortConvolutionTapsArguments;

/* y_t = silu(z_t), or z_t, with z_t = bias + sum over j < width of taps[width - 1 - j] x_{t-j} and x = 0 before the
 * start of the document. */
typedef struct ShortConvolutionArguments {
    const void *x;
    const float *taps;
    const int32_t *segment;
    void *y;
    int64_t rows, cols, width, T, x_stride, y_stride;
    bool silu;
} ShortConvolutionArguments;

/* dz = dy silu'(z), z computed again, or dy; dx_t = sum over j of taps[width - 1 - j] dz_{t+j} within the document,
 * dtaps[width - 1 - j] = sum over t of dz_t x_{t-j}, dbias = sum over t of dz_t. dx has the stride of x. */
typedef struct ShortConvolutionBackwardArguments {
    const void *x, *dy;
    const float *taps;
    const int32_t *segment;
    void *dx;
    float *partial;      /* [blocks of SHORT_CONVOLUTION_ROWS rows, cols, width] parts of dweight */
    float *partial_bias; /* [those blocks, cols] parts of dbias; may be NULL */
    float *scratch;      /* per program SHORT_CONVOLUTION_SCRATCH(width); with more than 4 taps */
    int64_t rows, cols, width, T, x_stride, dy_stride;
    bool silu;
} ShortConvolutionBackwardArguments;

#endif
