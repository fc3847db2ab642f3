/* Depthwise causal convolution over time, then silu; equations in short_convolution.h. The number of taps in use, up to
 * 4, and whether there is a silu are constants wherever a row is inlined, so the loops over columns have no branches.
 */
#include "tile/tile.h"
#include "tile/rows.h"
#include "kernels/convolution/short_convolution/short_convolution.h"

enum { COLS = SHORT_CONVOLUTION_COLS, AT_ONCE = 4 };

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

/* A warp's work: the rows [start, end) of the columns [first, first + cols). */
typedef struct ConvolutionPart {
    int64_t start, end, row_block, first, cols;
    const float *tap; /* the newest */
} ConvolutionPart;

DEVICE ConvolutionPart part_of(int64_t part, int64_t rows, int64_t cols, int64_t width, const float *taps) {
    const int64_t blocks = blocks_of(cols, COLS), row_block = part / blocks, block = part % blocks;
    const int64_t start = row_block * SHORT_CONVOLUTION_ROWS;
    const ConvolutionPart c = {.start = start,
                               .end = end_of_program(start, rows, SHORT_CONVOLUTION_ROWS),
                               .row_block = row_block,
                               .first = block * COLS,
                               .cols = columns_of_block(block, cols),
                               .tap = newest_tap(taps, block, width)};
    return c;
}

/* The parts of the program: four that follow each other. */
#define EACH_PART(part, a)                                                                                             \
    EACH_ROW (part, program_x * SHORT_CONVOLUTION_PARTS,                                                               \
              end_of_program(program_x * SHORT_CONVOLUTION_PARTS, short_convolution_parts((a).rows, (a).cols),         \
                             SHORT_CONVOLUTION_PARTS))

/* Whether the rows [first, last] are of one document. */
DEVICE bool in_one_document(const int32_t *segment, int64_t first, int64_t last, int64_t T) {
    if (first < 0) return false;
    return (int64_t)((uint32_t)first % (uint32_t)T) + last - first < T && segment[first] == segment[last];
}

/* z = bias + the sum over j < count of tap_j x_{t-j}, one VECTOR; x points to the newest row. */
#define CONVOLVE(z, x, x_stride, tap, count)                                                                           \
    READ_F32(z, (tap) + COLS);                                                                                         \
    ADD_TAP(z, x, x_stride, tap, 0);                                                                                   \
    if (count > 1) ADD_TAP(z, x, x_stride, tap, 1);                                                                    \
    if (count > 2) ADD_TAP(z, x, x_stride, tap, 2);                                                                    \
    if (count > 3) ADD_TAP(z, x, x_stride, tap, 3);                                                                    \
    for (int64_t j = 4; j < count; j++) ADD_TAP(z, x, x_stride, tap, j)
#define ADD_TAP(z, x, x_stride, tap, j)                                                                                \
    do {                                                                                                               \
        READ_F32(tap_, (tap) - (j)*COLS);                                                                              \
        READ(x_, (x) - (j) * (x_stride));                                                                              \
        EACH_LANE(e) z[e] += tap_[e] * x_[e];                                                                          \
    } while (0)

DEVICE void short_convolution_row(TEAM, const element *x, int64_t x_stride, const float *tap, element *y, int64_t cols,
                                  int64_t count, bool silu) {
    VECTORS_OF(x, x - x_stride, tap, y);
    WARP_VECTOR(i, cols) {
        CONVOLVE(z, x + i, x_stride, tap + i, count);
        EACH_LANE(e) z[e] = silu ? silu_f(z[e]) : z[e];
        WRITE(y + i, z);
    }
}

/* z of row n of AT_ONCE, with the entries of its row and the three before. */
#define Z_OF_ROW(z, n, x0, x1, x2, x3)                                                                                 \
    EACH_LANE(e) {                                                                                                     \
        z[n][e] = bias[e] + tap0[e] * x0[e];                                                                           \
        z[n][e] += tap1[e] * x1[e];                                                                                    \
        z[n][e] += tap2[e] * x2[e];                                                                                    \
        z[n][e] += tap3[e] * x3[e];                                                                                    \
    }
/* z of AT_ONCE rows of one document from x on, and four taps: each input is read once. */
#define CONVOLVE_ROWS(z, x, x_stride, tap)                                                                             \
    READ_F32(bias, (tap) + COLS);                                                                                      \
    READ_F32(tap0, tap);                                                                                               \
    READ_F32(tap1, (tap)-COLS);                                                                                        \
    READ_F32(tap2, (tap)-2 * COLS);                                                                                    \
    READ_F32(tap3, (tap)-3 * COLS);                                                                                    \
    READ(before3, (x)-3 * (x_stride));                                                                                 \
    READ(before2, (x)-2 * (x_stride));                                                                                 \
    READ(before1, (x) - (x_stride));                                                                                   \
    READ(row0, x);                                                                                                     \
    READ(row1, (x) + (x_stride));                                                                                      \
    READ(row2, (x) + 2 * (x_stride));                                                                                  \
    READ(row3, (x) + 3 * (x_stride));                                                                                  \
    float z[AT_ONCE][VECTOR];                                                                                          \
    Z_OF_ROW(z, 0, row0, before1, before2, before3)                                                                    \
    Z_OF_ROW(z, 1, row1, row0, before1, before2)                                                                       \
    Z_OF_ROW(z, 2, row2, row1, row0, before1)                                                                          \
    Z_OF_ROW(z, 3, row3, row2, row1, row0)

DEVICE void short_convolution_four_rows(TEAM, const element *x, int64_t x_stride, const float *tap, element *y,
                                        int64_t y_stride, int64_t cols, bool silu) {
    VECTORS_OF(x, x + x_stride, tap, y, y + y_stride);
    WARP_VECTOR(i, cols) {
        CONVOLVE_ROWS(z, x + i, x_stride, tap + i);
        EACH_LANE(e) {
            z[0][e] = silu ? silu_f(z[0][e]) : z[0][e];
            z[1][e] = silu ? silu_f(z[1][e]) : z[1][e];
            z[2][e] = silu ? silu_f(z[2][e]) : z[2][e];
            z[3][e] = silu ? silu_f(z[3][e]) : z[3][e];
        }
        WRITE(y + i, z[0]);
        WRITE(y + y_stride + i, z[1]);
        WRITE(y + 2 * y_stride + i, z[2]);
        WRITE(y + 3 * y_stride + i, z[3]);
    }
}

DEVICE void short_convolution_part(TEAM, const ShortConvolutionArguments a, const ConvolutionPart c, bool silu) {
    int64_t row = c.start;
    while (row < c.end) {
        const element *x = (const element *)a.x + row * a.x_stride + c.first;
        element *y = (element *)a.y + row * a.y_stride + c.first;
        if (a.width == 4 && row + AT_ONCE <= c.end && in_one_document(a.segment, row - 3, row + AT_ONCE - 1, a.T)) {
            short_convolution_four_rows(TEAM_HERE, x, a.x_stride, c.tap, y, a.y_stride, c.cols, silu);
            row += AT_ONCE;
            continue;
        }
        const int64_t count = rows_of_document(a.segment, row, -1, a.T, a.width);
        if (count == 1)
            short_convolution_row(TEAM_HERE, x, a.x_stride, c.tap, y, c.cols, 1, silu);
        else if (count == 2)
            short_convolution_row(TEAM_HERE, x, a.x_stride, c.tap, y, c.cols, 2, silu);
        else if (count == 3)
            short_convolution_row(TEAM_HERE, x, a.x_stride, c.tap, y, c.cols, 3, silu);
        else if (count == 4)
            short_convolution_row(TEAM_HERE, x, a.x_stride, c.tap, y, c.cols, 4, silu);
        else
            short_convolution_row(TEAM_HERE, x, a.x_stride, c.tap, y, c.cols, count, silu);
        row++;
    }
}

KERNEL(short_convolution, ShortConvolutionArguments) {
    EACH_PART(part, a) {
        const ConvolutionPart c = part_of(part, a.rows, a.cols, a.width, a.taps);
        if (a.silu)
            short_convolution_part(TEAM_HERE, a, c, true);
        else
            short_convolution_part(TEAM_HERE, a, c, false);
    }
}

/* What backward remembers between rows, rows of COLUMNS: dz of row t at t modulo width, then the sums of dtaps, that of
 * the newest tap first, then that of dbias. */
DEVICE float *dz_of_row(float *state, int64_t width, int64_t row) { return COLUMNS_ROW(state, COLS, row % width); }
DEVICE float *dtaps_of(float *state, int64_t width, int64_t j) { return COLUMNS_ROW(state, COLS, width + j); }
DEVICE float *dbias_of(float *state, int64_t width) { return COLUMNS_ROW(state, COLS, 2 * width); }

#define ADD_DTAP(d, x, x_stride, j)                                                                                    \
    do {                                                                                                               \
        READ(x_, (x) - (j) * (x_stride));                                                                              \
        READ_COLUMNS(sum_, dtaps_of(state, a.width, j), i);                                                            \
        EACH_LANE(e) sum_[e] += d[e] * x_[e];                                                                          \
        WRITE_COLUMNS(dtaps_of(state, a.width, j), i, sum_);                                                           \
    } while (0)

/* own: the row counts towards dtaps; else it only lends its dz to rows before it. */
DEVICE void short_convolution_dz(TEAM, const ShortConvolutionBackwardArguments a, const ConvolutionPart c, float *state,
                                 int64_t row, int64_t count, bool own, bool silu) {
    const element *x = (const element *)a.x + row * a.x_stride + c.first;
    const element *dy = (const element *)a.dy + row * a.dy_stride + c.first;
    float *dz = dz_of_row(state, a.width, row), *dbias = dbias_of(state, a.width);
    VECTORS_OF(x, x - a.x_stride, dy, c.tap);
    WARP_VECTOR(i, c.cols) {
        READ(d, dy + i);
        if (silu) {
            CONVOLVE(z, x + i, a.x_stride, c.tap + i, count);
            EACH_LANE(e) d[e] *= silu_derivative_f(z[e]);
        }
        WRITE_COLUMNS(dz, i, d);
        if (own) {
            ADD_COLUMNS(dbias, i, d);
            ADD_DTAP(d, x + i, a.x_stride, 0);
            if (count > 1) ADD_DTAP(d, x + i, a.x_stride, 1);
            if (count > 2) ADD_DTAP(d, x + i, a.x_stride, 2);
            if (count > 3) ADD_DTAP(d, x + i, a.x_stride, 3);
        }
    }
    for (int64_t j = 4; own && j < count; j++) {
        WARP_VECTOR(i, c.cols) {
            READ_COLUMNS(d, dz, i);
            ADD_DTAP(d, x + i, a.x_stride, j);
        }
    }
}

DEVICE void short_convolution_dz_row(TEAM, const ShortConvolutionBackwardArguments a, const ConvolutionPart c,
                                     float *state, int64_t row, bool own, bool silu) {
    const int64_t count = rows_of_document(a.segment, row, -1, a.T, a.width);
    if (count == 1)
        short_convolution_dz(TEAM_HERE, a, c, state, row, 1, own, silu);
    else if (count == 2)
        short_convolution_dz(TEAM_HERE, a, c, state, row, 2, own, silu);
    else if (count == 3)
        short_convolution_dz(TEAM_HERE, a, c, state, row, 3, own, silu);
    else if (count == 4)
        short_convolution_dz(TEAM_HERE, a, c, state, row, 4, own, silu);
    else
        short_convolution_dz(TEAM_HERE, a, c, state, row, count, own, silu);
}

#define ADD_DX(d, j)                                                                                                   \
    do {                                                                                                               \
        READ_F32(tap_, c.tap + i - (j)*COLS);                                                                          \
        READ_COLUMNS(dz_, COLUMNS_ROW(state, COLS, slot + (j) < a.width ? slot + (j) : slot + (j)-a.width), i);        \
        EACH_LANE(e) d[e] += tap_[e] * dz_[e];                                                                         \
    } while (0)

DEVICE void short_convolution_dx(TEAM, const ShortConvolutionBackwardArguments a, const ConvolutionPart c, float *state,
                                 int64_t row, int64_t count) {
    element *dx = (element *)a.dx + row * a.x_stride + c.first;
    const int64_t slot = row % a.width; /* dz of the row; those of the rows after it follow, and begin again */
    VECTORS_OF(dx, c.tap);
    WARP_VECTOR(i, c.cols) {
        READ_F32(d, c.tap + i);
        READ_COLUMNS(dz, COLUMNS_ROW(state, COLS, slot), i);
        EACH_LANE(e) d[e] *= dz[e];
        if (count > 1) ADD_DX(d, 1);
        if (count > 2) ADD_DX(d, 2);
        if (count > 3) ADD_DX(d, 3);
        for (int64_t j = 4; j < count; j++) ADD_DX(d, j);
        WRITE(dx + i, d);
    }
}

DEVICE void short_convolution_dx_row(TEAM, const ShortConvolutionBackwardArguments a, const ConvolutionPart c,
                                     float *state, int64_t row) {
    const int64_t count = rows_of_document(a.segment, row, 1, a.T, a.width);
    if (count == 1)
        short_convolution_dx(TEAM_HERE, a, c, state, row, 1);
    else if (count == 2)
        short_convolution_dx(TEAM_HERE, a, c, state, row, 2);
    else if (count == 3)
        short_convolution_dx(TEAM_HERE, a, c, state, row, 3);
    else if (count == 4)
        short_convolution_dx(TEAM_HERE, a, c, state, row, 4);
    else
        short_convolution_dx(TEAM_HERE, a, c, state, row, count);
}

/* Sums over AT_ONCE rows, the last first: sum[i] += d3 x3 + d2 x2 + ... */
#define ADD_SUMS(row_of_sums, x3, x2, x1, x0)                                                                          \
    do {                                                                                                               \
        READ_COLUMNS(sum_, row_of_sums, i);                                                                            \
        EACH_LANE(e) {                                                                                                 \
            sum_[e] += z[3][e] * x3[e];                                                                                \
            sum_[e] += z[2][e] * x2[e];                                                                                \
            sum_[e] += z[1][e] * x1[e];                                                                                \
            sum_[e] += z[0][e] * x0[e];                                                                                \
        }                                                                                                              \
        WRITE_COLUMNS(row_of_sums, i, sum_);                                                                           \
    } while (0)
#define WRITE_DX(to, d0, d1, d2, d3)                                                                                   \
    do {                                                                                                               \
        float dx_[VECTOR];                                                                                             \
        EACH_LANE(e) {                                                                                                 \
            dx_[e] = tap0[e] * d0[e];                                                                                  \
            dx_[e] += tap1[e] * d1[e];                                                                                 \
            dx_[e] += tap2[e] * d2[e];                                                                                 \
            dx_[e] += tap3[e] * d3[e];                                                                                 \
        }                                                                                                              \
        WRITE(to, dx_);                                                                                                \
    } while (0)

/* The rows from `row` on, four taps, all of a document with the three rows before and after: z becomes dz. */
DEVICE void short_convolution_four_rows_backward(TEAM, const ShortConvolutionBackwardArguments a,
                                                 const ConvolutionPart c, float *state, int64_t row, bool silu) {
    const element *x = (const element *)a.x + row * a.x_stride + c.first;
    const element *dy = (const element *)a.dy + row * a.dy_stride + c.first;
    element *dx = (element *)a.dx + row * a.x_stride + c.first;
    float *dz0 = dz_of_row(state, 4, row), *dz1 = dz_of_row(state, 4, row + 1), *dz2 = dz_of_row(state, 4, row + 2),
          *dbias = dbias_of(state, 4);
    VECTORS_OF(x, x + a.x_stride, dy, dy + a.dy_stride, c.tap, dx);
    WARP_VECTOR(i, c.cols) {
        READ(dy0, dy + i);
        READ(dy1, dy + a.dy_stride + i);
        READ(dy2, dy + 2 * a.dy_stride + i);
        READ(dy3, dy + 3 * a.dy_stride + i);
        CONVOLVE_ROWS(z, x + i, a.x_stride, c.tap + i);
        READ_COLUMNS(after0, dz0, i);
        READ_COLUMNS(after1, dz1, i);
        READ_COLUMNS(after2, dz2, i);
        EACH_LANE(e) {
            z[3][e] = silu ? dy3[e] * silu_derivative_f(z[3][e]) : dy3[e];
            z[2][e] = silu ? dy2[e] * silu_derivative_f(z[2][e]) : dy2[e];
            z[1][e] = silu ? dy1[e] * silu_derivative_f(z[1][e]) : dy1[e];
            z[0][e] = silu ? dy0[e] * silu_derivative_f(z[0][e]) : dy0[e];
        }
        READ_COLUMNS(sum, dbias, i);
        EACH_LANE(e) sum[e] = (((sum[e] + z[3][e]) + z[2][e]) + z[1][e]) + z[0][e];
        WRITE_COLUMNS(dbias, i, sum);
        ADD_SUMS(dtaps_of(state, 4, 0), row3, row2, row1, row0);
        ADD_SUMS(dtaps_of(state, 4, 1), row2, row1, row0, before1);
        ADD_SUMS(dtaps_of(state, 4, 2), row1, row0, before1, before2);
        ADD_SUMS(dtaps_of(state, 4, 3), row0, before1, before2, before3);
        WRITE_DX(dx + 3 * a.x_stride + i, z[3], after0, after1, after2);
        WRITE_DX(dx + 2 * a.x_stride + i, z[2], z[3], after0, after1);
        WRITE_DX(dx + a.x_stride + i, z[1], z[2], z[3], after0);
        WRITE_DX(dx + i, z[0], z[1], z[2], z[3]);
        WRITE_COLUMNS(dz0, i, z[0]);
        WRITE_COLUMNS(dz1, i, z[1]);
        WRITE_COLUMNS(dz2, i, z[2]);
    }
}

/* Walks the rows backwards: when dx of a row is due, dz of the rows after it is still there. `few`: the state of four
 * taps or less, in the program; `state` the state of any number. */
DEVICE void short_convolution_backward_part(TEAM, const ShortConvolutionBackwardArguments a, const ConvolutionPart c,
                                            float *few, float *state, bool silu) {
    for (int64_t n = 0; n < 2 * a.width + 1; n++) columns_zero(COLUMNS_ROW(state, COLS, n), COLS, c.cols);
    const int64_t last = c.end - 1 + rows_of_document(a.segment, c.end - 1, 1, a.T, a.width);
    for (int64_t row = last - 1; row >= c.end; row--)
        short_convolution_dz_row(TEAM_HERE, a, c, state, row, false, silu);
    int64_t row = c.end - 1;
    while (row >= c.start) {
        const int64_t first = row - AT_ONCE + 1;
        if (a.width == 4 && first >= c.start && row + 3 < a.rows &&
            in_one_document(a.segment, first - 3, row + 3, a.T)) {
            short_convolution_four_rows_backward(TEAM_HERE, a, c, few, first, silu);
            row -= AT_ONCE;
            continue;
        }
        short_convolution_dz_row(TEAM_HERE, a, c, state, row, true, silu);
        short_convolution_dx_row(TEAM_HERE, a, c, state, row);
        row--;
    }
    float *partial = a.partial + (c.row_block * a.cols + c.first) * a.width;
    float *partial_bias = a.partial_bias ? a.partial_bias + c.row_block * a.cols + c.first : NULL;
    VECTORS_OF(partial_bias);
    WARP_VECTOR(i, c.cols) {
        for (int64_t j = 0; j < a.width; j++) {
            READ_COLUMNS(sum, dtaps_of(state, a.width, j), i);
            EACH_LANE(e) if (LANE_INSIDE(e)) partial[(i + e) * a.width + a.width - 1 - j] = sum[e];
        }
        READ_COLUMNS(sum, dbias_of(state, a.width), i);
        if (partial_bias) WRITE_F32(partial_bias + i, sum);
    }
}

KERNEL(short_convolution_backward, ShortConvolutionBackwardArguments) {
    COLUMNS(few, 2 * AT_ONCE + 1, COLS);
    float *state = a.width <= AT_ONCE ? few : a.scratch + program_x * SHORT_CONVOLUTION_SCRATCH(a.width);
    EACH_PART(part, a) {
        const ConvolutionPart c = part_of(part, a.rows, a.cols, a.width, a.taps);
        if (a.silu)
            short_convolution_backward_part(TEAM_HERE, a, c, few, state, true);
        else
            short_convolution_backward_part(TEAM_HERE, a, c, few, state, false);
    }
}
