/* Depthwise causal convolution over time, then silu; equations in short_convolution.h. The number of taps in use is a
 * constant wherever a row is inlined, so the loops over columns have no branches. */
#include "kernels/tile.h"
#include "kernels/rows.h"
#include "kernels/short_convolution/short_convolution.h"

enum { COLS = SHORT_CONVOLUTION_COLS };

DEVICE int64_t columns_of_block(int64_t block, int64_t cols) {
    return cols - block * COLS < COLS ? cols - block * COLS : COLS;
}

KERNEL(short_convolution_taps, ShortConvolutionTapsArguments) {
    const element *weight = (const element *)a.weight + program_x * COLS * a.width;
    float *taps = a.taps + program_x * COLS * a.width;
    const int64_t cols = columns_of_block(program_x, a.cols);
    for (int64_t w = 0; w < a.width; w++)
        EACH (i, cols) taps[w * COLS + i] = to_float(weight[i * a.width + w]);
}

/* The newest tap of a block of columns; older ones lie COLS before. */
DEVICE const float *newest_tap(const float *taps, int64_t block, int64_t width) {
    return taps + (block * width + width - 1) * COLS;
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
DEVICE float convolve(const element *x, int64_t x_stride, const float *tap, int count, int64_t i) {
    float z = tap[i] * to_float(x[i]);
    if (count > 1) z += tap[i - COLS] * to_float(x[i - x_stride]);
    if (count > 2) z += tap[i - 2 * COLS] * to_float(x[i - 2 * x_stride]);
    if (count > 3) z += tap[i - 3 * COLS] * to_float(x[i - 3 * x_stride]);
    return z;
}

DEVICE void short_convolution_row(const element *x, int64_t x_stride, const float *tap, element *y, int64_t cols,
                                  int count) {
    EACH (i, cols) y[i] = to_element(silu_f(convolve(x, x_stride, tap, count, i)));
}

KERNEL(short_convolution, ShortConvolutionArguments) {
    const int64_t cols = columns_of_block(program_y, a.cols);
    const float *tap = newest_tap(a.taps, program_y, a.width);
    ROWS_OF_PROGRAM (row, a.rows, SHORT_CONVOLUTION_ROWS) {
        const element *x = (const element *)a.x + row * a.x_stride + program_y * COLS;
        element *y = (element *)a.y + row * a.y_stride + program_y * COLS;
        switch (rows_of_document(a.segment, row, -1, a.T, a.width)) {
        case 1:
            short_convolution_row(x, a.x_stride, tap, y, cols, 1);
            break;
        case 2:
            short_convolution_row(x, a.x_stride, tap, y, cols, 2);
            break;
        case 3:
            short_convolution_row(x, a.x_stride, tap, y, cols, 3);
            break;
        default:
            short_convolution_row(x, a.x_stride, tap, y, cols, 4);
            break;
        }
    }
}

/* What a program of backward remembers between rows. A column always belongs to the same thread: nothing is shared. */
typedef struct ConvolutionColumns {
    int64_t first, cols;
    const float *tap;
    float *dz;    /* [SHORT_CONVOLUTION_WIDTH, COLS]: row t at t modulo the number of rows */
    float *dtaps; /* likewise: sums so far, that of the newest tap first */
} ConvolutionColumns;

DEVICE float *dz_of_row(const ConvolutionColumns c, int64_t row) { return c.dz + row % SHORT_CONVOLUTION_WIDTH * COLS; }

/* own: the row counts towards dtaps; else it only lends its dz to rows before it. */
DEVICE void short_convolution_dz(const ShortConvolutionBackwardArguments a, const ConvolutionColumns c, int64_t row,
                                 int count, bool own) {
    const element *x = (const element *)a.x + row * a.x_stride + c.first;
    const element *dy = (const element *)a.dy + row * a.dy_stride + c.first;
    float *dz = dz_of_row(c, row), *dtaps = c.dtaps;
    EACH (i, c.cols) {
        const float d = to_float(dy[i]) * silu_derivative_f(convolve(x, a.x_stride, c.tap, count, i));
        dz[i] = d;
        if (own) {
            dtaps[i] += d * to_float(x[i]);
            if (count > 1) dtaps[i + COLS] += d * to_float(x[i - a.x_stride]);
            if (count > 2) dtaps[i + 2 * COLS] += d * to_float(x[i - 2 * a.x_stride]);
            if (count > 3) dtaps[i + 3 * COLS] += d * to_float(x[i - 3 * a.x_stride]);
        }
    }
}

DEVICE void short_convolution_dz_row(const ShortConvolutionBackwardArguments a, const ConvolutionColumns c, int64_t row,
                                     bool own) {
    switch (rows_of_document(a.segment, row, -1, a.T, a.width)) {
    case 1:
        short_convolution_dz(a, c, row, 1, own);
        break;
    case 2:
        short_convolution_dz(a, c, row, 2, own);
        break;
    case 3:
        short_convolution_dz(a, c, row, 3, own);
        break;
    default:
        short_convolution_dz(a, c, row, 4, own);
        break;
    }
}

DEVICE void short_convolution_dx(const ConvolutionColumns c, int64_t row, element *dx, int count) {
    const float *tap = c.tap, *dz0 = dz_of_row(c, row), *dz1 = dz_of_row(c, row + 1), *dz2 = dz_of_row(c, row + 2),
                *dz3 = dz_of_row(c, row + 3);
    EACH (i, c.cols) {
        float d = tap[i] * dz0[i];
        if (count > 1) d += tap[i - COLS] * dz1[i];
        if (count > 2) d += tap[i - 2 * COLS] * dz2[i];
        if (count > 3) d += tap[i - 3 * COLS] * dz3[i];
        dx[i] = to_element(d);
    }
}

DEVICE void short_convolution_dx_row(const ShortConvolutionBackwardArguments a, const ConvolutionColumns c,
                                     int64_t row) {
    element *dx = (element *)a.dx + row * a.x_stride + c.first;
    switch (rows_of_document(a.segment, row, 1, a.T, a.width)) {
    case 1:
        short_convolution_dx(c, row, dx, 1);
        break;
    case 2:
        short_convolution_dx(c, row, dx, 2);
        break;
    case 3:
        short_convolution_dx(c, row, dx, 3);
        break;
    default:
        short_convolution_dx(c, row, dx, 4);
        break;
    }
}

/* Walks the rows backwards: when dx of a row is due, dz of the rows after it is still there. */
KERNEL(short_convolution_backward, ShortConvolutionBackwardArguments) {
    const int64_t start = program_x * SHORT_CONVOLUTION_ROWS;
    const int64_t end = start + SHORT_CONVOLUTION_ROWS < a.rows ? start + SHORT_CONVOLUTION_ROWS : a.rows;
    const int64_t size = SHORT_CONVOLUTION_WIDTH * COLS;
    float *scratch = a.scratch + (program_x * blocks_of(a.cols, COLS) + program_y) * 2 * size;
    const ConvolutionColumns c = {program_y * COLS, columns_of_block(program_y, a.cols),
                                  newest_tap(a.taps, program_y, a.width), scratch, scratch + size};
    for (int64_t w = 0; w < a.width; w++)
        EACH (i, c.cols) c.dtaps[w * COLS + i] = 0;
    const int64_t last = end - 1 + rows_of_document(a.segment, end - 1, 1, a.T, a.width);
    for (int64_t row = last - 1; row >= end; row--) short_convolution_dz_row(a, c, row, false);
    for (int64_t row = end - 1; row >= start; row--) {
        short_convolution_dz_row(a, c, row, true);
        short_convolution_dx_row(a, c, row);
    }
    float *partial = a.partial + (program_x * a.cols + c.first) * a.width;
    for (int64_t w = 0; w < a.width; w++)
        EACH (i, c.cols) partial[i * a.width + w] = c.dtaps[(a.width - 1 - w) * COLS + i];
}
