/* Arguments of the short_convolution kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_CONVOLUTION_SHORT_CONVOLUTION_SHORT_CONVOLUTION_H
#define FLAME_KERNELS_CONVOLUTION_SHORT_CONVOLUTION_SHORT_CONVOLUTION_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SHORT_CONVOLUTION_WIDTH = 64, /* the largest width; 4 is fast */
    SHORT_CONVOLUTION_FEW = 4,    /* a program reads up to this many taps from the weight itself */
    SHORT_CONVOLUTION_ROWS = 64,  /* rows and columns of a program */
    SHORT_CONVOLUTION_COLS = 256
};

/* The scratch memory, in entries, of a program of backward with more than SHORT_CONVOLUTION_FEW taps. */
#define SHORT_CONVOLUTION_SCRATCH(width) ((2 * (width) + 1) * (4 * SHORT_CONVOLUTION_COLS + 16))

/* weight [cols, width], bias [cols] or NULL for 0 -> taps [blocks of columns, width + 1, SHORT_CONVOLUTION_COLS] fp32,
 * where the last row is the bias. Neighbouring columns lie side by side, and all that one program reads lies together.
 * Programs: x over blocks of columns. */
typedef struct ShortConvolutionTapsArguments {
    const void *weight, *bias;
    float *taps;
    int64_t cols, width;
} ShortConvolutionTapsArguments;

/* y_t = silu(z_t), or z_t, with z_t = bias + sum over j < width of taps[width - 1 - j] x_{t-j} and x = 0 before the
 * start of the document. Programs: x over blocks of columns, y over blocks of rows. */
typedef struct ShortConvolutionArguments {
    const void *x, *weight, *bias;
    const float *taps; /* with more than SHORT_CONVOLUTION_FEW taps */
    const int32_t *segment;
    void *y;
    int64_t rows, cols, width, T, x_stride, y_stride;
    bool silu;
} ShortConvolutionArguments;

/* dz = dy silu'(z), with z recomputed, or dy without silu; dx_t = sum over j of taps[width - 1 - j] dz_{t+j} within the
 * document, dtaps[width - 1 - j] = sum over t of dz_t x_{t-j}, dbias = sum over t of dz_t. dx has the stride of x.
 * Programs as above. */
typedef struct ShortConvolutionBackwardArguments {
    const void *x, *dy, *weight, *bias;
    const float *taps; /* with more than SHORT_CONVOLUTION_FEW taps */
    const int32_t *segment;
    void *dx;
    float *partial;      /* [blocks of SHORT_CONVOLUTION_ROWS rows, cols, width] parts of dweight */
    float *partial_bias; /* [those blocks, cols] parts of dbias; may be NULL */
    float *scratch;      /* SHORT_CONVOLUTION_SCRATCH(width) per program, with more than SHORT_CONVOLUTION_FEW taps */
    int64_t rows, cols, width, T, x_stride, dy_stride;
    bool silu;
} ShortConvolutionBackwardArguments;

#endif
