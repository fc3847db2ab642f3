/* Depthwise causal convolution over time, then silu; equations in short_convolution.h. The number of taps in use, up to
 * 4, and whether there is a silu are constants wherever a row is inlined, so the loops over columns have no branches.
 */
#include "tile/tile.h"
#include "tile/rows.h"
#include "kernels/convolution/short_convolution/short_convolution.h"

enum { COLS = SHORT_CONVOLUTION_COLS };

DEVICE int64_t columns_of_block(int64_t block, int64_t cols) {
    return cols - block * COLS < COLS ? cols - block * COLS : COLS;
}

KERNEL(short_convolution_taps, ShortConvolutionTapsArguments) {
    const element *weight = (const element *)a.weight + program_x * COLS * a.width;
    const element *bias = (const element *)a.bias + (a.bias ? program_x * COLS : 0);
    float *taps = a.taps + program_x * COLS * (a.width + 1);
    const int64_t cols = columns_of_block(program_x, a.cols);
    for (int64_t w = 0; w < a.width; w++)
        EACH (i, cols) taps[w * COLS + i] = to_float(weight[i * a.width + w]);
    EACH (i, cols) taps[a.width * COLS + i] = a.bias ? to_float(bias[i]) : 0.0f;
}

/* The newest tap of a block of columns; older ones lie COLS before, the bias COLS behind. */
DEVICE const float *newest_tap(const float *taps, int64_t block, int64_t width) {
    return taps + (block * (width + 1) + width - 1) * COLS;
}

/* How many of the rows `row`, row + step, row + 2 step, ... are in the row's document, at most `width`. */
DEVICE int64_t rows_of_document(const int32_t *segment, int64_t row, int64_t step, int64_t T, int64_t width) {
    const int64_t t = row % T, room = step < 0 ? t + 1 : T - t;
    const int64_t most = room < width ? room : width;
    int64_t count = 1;
    while (count < most && segment[row + count * step] == segment[row]) count++;
    return count;
}

/* z of one column: x points to the newest row. */
DEVICE float convolve(const element *x, int64_t x_stride, const float *tap, int64_t count, int64_t i) {
    float z = tap[i + COLS] + tap[i] * to_float(x[i]);
    if (count > 1) z += tap[i - COLS] * to_float(x[i - x_stride]);
    if (count > 2) z += tap[i - 2 * COLS] * to_float(x[i - 2 * x_stride]);
    if (count > 3) z += tap[i - 3 * COLS] * to_float(x[i - 3 * x_stride]);
    for (int64_t j = 4; j < count; j++) z += tap[i - j * COLS] * to_float(x[i - j * x_stride]);
    return z;
}

DEVICE void short_convolution_row(const element *x, int64_t x_stride, const float *tap, element *y, int64_t cols,
                                  int64_t count, bool silu) {
    EACH (i, cols) {
        const float z = convolve(x, x_stride, tap, count, i);
        y[i] = to_element(silu ? silu_f(z) : z);
    }
}

DEVICE void short_convolution_rows(const ShortConvolutionArguments a, int64_t block, int64_t row, bool silu) {
    const int64_t cols = columns_of_block(block, a.cols);
    const float *tap = newest_tap(a.taps, block, a.width);
    const element *x = (const element *)a.x + row * a.x_stride + block * COLS;
    element *y = (element *)a.y + row * a.y_stride + block * COLS;
    const int64_t count = rows_of_document(a.segment, row, -1, a.T, a.width);
    switch (count) {
    case 1:
        short_convolution_row(x, a.x_stride, tap, y, cols, 1, silu);
        break;
    case 2:
        short_convolution_row(x, a.x_stride, tap, y, cols, 2, silu);
        break;
    case 3:
        short_convolution_row(x, a.x_stride, tap, y, cols, 3, silu);
        break;
    case 4:
        short_convolution_row(x, a.x_stride, tap, y, cols, 4, silu);
        break;
    default:
        short_convolution_row(x, a.x_stride, tap, y, cols, count, silu);
        break;
    }
}

KERNEL(short_convolution, ShortConvolutionArguments) {
    ROWS_OF_PROGRAM (row, a.rows, SHORT_CONVOLUTION_ROWS) {
        if (a.silu)
            short_convolution_rows(a, program_y, row, true);
        else
            short_convolution_rows(a, program_y, row, false);
    }
}

/* What a program of backward remembers between rows. A column always belongs to the same thread: nothing is shared. */
typedef struct ConvolutionColumns {
    int64_t first, cols, width;
    const float *tap;
    float *dz;    /* [width, COLS]: row t at t modulo width */
    float *dtaps; /* [width, COLS]: sums so far, that of the newest tap first */
    float *dbias; /* [COLS] */
} ConvolutionColumns;

DEVICE float *dz_of_row(const ConvolutionColumns c, int64_t row) { return c.dz + row % c.width * COLS; }

/* own: the row counts towards dtaps; else it only lends its dz to rows before it. */
DEVICE void short_convolution_dz(const ShortConvolutionBackwardArguments a, const ConvolutionColumns c, int64_t row,
                                 int64_t count, bool own, bool silu) {
    const element *x = (const element *)a.x + row * a.x_stride + c.first;
    const element *dy = (const element *)a.dy + row * a.dy_stride + c.first;
    float *dz = dz_of_row(c, row), *dtaps = c.dtaps, *dbias = c.dbias;
    EACH (i, c.cols) {
        const float slope = silu ? silu_derivative_f(convolve(x, a.x_stride, c.tap, count, i)) : 1.0f;
        const float d = to_float(dy[i]) * slope;
        dz[i] = d;
        if (own) {
            dbias[i] += d;
            dtaps[i] += d * to_float(x[i]);
            if (count > 1) dtaps[i + COLS] += d * to_float(x[i - a.x_stride]);
            if (count > 2) dtaps[i + 2 * COLS] += d * to_float(x[i - 2 * a.x_stride]);
            if (count > 3) dtaps[i + 3 * COLS] += d * to_float(x[i - 3 * a.x_stride]);
            for (int64_t j = 4; j < count; j++) dtaps[i + j * COLS] += d * to_float(x[i - j * a.x_stride]);
        }
    }
}

DEVICE void short_convolution_dz_count(const ShortConvolutionBackwardArguments a, const ConvolutionColumns c,
                                       int64_t row, bool own, bool silu) {
    const int64_t count = rows_of_document(a.segment, row, -1, a.T, a.width);
    switch (count) {
    case 1:
        short_convolution_dz(a, c, row, 1, own, silu);
        break;
    case 2:
        short_convolution_dz(a, c, row, 2, own, silu);
        break;
    case 3:
        short_convolution_dz(a, c, row, 3, own, silu);
        break;
    case 4:
        short_convolution_dz(a, c, row, 4, own, silu);
        break;
    default:
        short_convolution_dz(a, c, row, count, own, silu);
        break;
    }
}

DEVICE void short_convolution_dz_row(const ShortConvolutionBackwardArguments a, const ConvolutionColumns c, int64_t row,
                                     bool own) {
    if (a.silu)
        short_convolution_dz_count(a, c, row, own, true);
    else
        short_convolution_dz_count(a, c, row, own, false);
}

DEVICE void short_convolution_dx(const ConvolutionColumns c, int64_t row, element *dx, int64_t count) {
    const int64_t rows_to_wrap = c.width - row % c.width; /* after so many rows dz begins again */
    const float *tap = c.tap, *dz0 = dz_of_row(c, row), *dz1 = dz_of_row(c, row + 1), *dz2 = dz_of_row(c, row + 2),
                *dz3 = dz_of_row(c, row + 3);
    EACH (i, c.cols) {
        float d = tap[i] * dz0[i];
        if (count > 1) d += tap[i - COLS] * dz1[i];
        if (count > 2) d += tap[i - 2 * COLS] * dz2[i];
        if (count > 3) d += tap[i - 3 * COLS] * dz3[i];
        for (int64_t j = 4; j < count; j++)
            d += tap[i - j * COLS] * dz0[i + (j < rows_to_wrap ? j : j - c.width) * COLS];
        dx[i] = to_element(d);
    }
}

DEVICE void short_convolution_dx_row(const ShortConvolutionBackwardArguments a, const ConvolutionColumns c,
                                     int64_t row) {
    element *dx = (element *)a.dx + row * a.x_stride + c.first;
    const int64_t count = rows_of_document(a.segment, row, 1, a.T, a.width);
    switch (count) {
    case 1:
        short_convolution_dx(c, row, dx, 1);
        break;
    case 2:
        short_convolution_dx(c, row, dx, 2);
        break;
    case 3:
        short_convolution_dx(c, row, dx, 3);
        break;
    case 4:
        short_convolution_dx(c, row, dx, 4);
        break;
    default:
        short_convolution_dx(c, row, dx, count);
        break;
    }
}

/* Walks the rows backwards: when dx of a row is due, dz of the rows after it is still there. */
KERNEL(short_convolution_backward, ShortConvolutionBackwardArguments) {
    const int64_t start = program_x * SHORT_CONVOLUTION_ROWS;
    const int64_t end = start + SHORT_CONVOLUTION_ROWS < a.rows ? start + SHORT_CONVOLUTION_ROWS : a.rows;
    const int64_t size = a.width * COLS, program = program_x * blocks_of(a.cols, COLS) + program_y;
    float *scratch = a.scratch + program * SHORT_CONVOLUTION_SCRATCH(a.width) * COLS;
    const ConvolutionColumns c = {.first = program_y * COLS,
                                  .cols = columns_of_block(program_y, a.cols),
                                  .width = a.width,
                                  .tap = newest_tap(a.taps, program_y, a.width),
                                  .dz = scratch,
                                  .dtaps = scratch + size,
                                  .dbias = scratch + 2 * size};
    for (int64_t w = 0; w < a.width; w++)
        EACH (i, c.cols) c.dtaps[w * COLS + i] = 0;
    EACH (i, c.cols) c.dbias[i] = 0;
    const int64_t last = end - 1 + rows_of_document(a.segment, end - 1, 1, a.T, a.width);
    for (int64_t row = last - 1; row >= end; row--) short_convolution_dz_row(a, c, row, false);
    for (int64_t row = end - 1; row >= start; row--) {
        short_convolution_dz_row(a, c, row, true);
        short_convolution_dx_row(a, c, row);
    }
    float *partial = a.partial + (program_x * a.cols + c.first) * a.width;
    for (int64_t w = 0; w < a.width; w++)
        EACH (i, c.cols) partial[i * a.width + w] = c.dtaps[(a.width - 1 - w) * COLS + i];
    if (a.partial_bias)
        EACH (i, c.cols) a.partial_bias[program_x * a.cols + c.first + i] = c.dbias[i];
}
