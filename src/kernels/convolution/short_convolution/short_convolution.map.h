/* Depthwise causal convolution over time, then silu; equations in short_convolution.h. Rows are inlined with constants
 * for the number of taps in use, if that is at most 4, and for whether there is a silu, so the loops over columns have
 * no branches. */
#if defined(TILE_ELEMENT_BF16)
#define TILE_PROGRAMS 4
#endif
#define TILE_VECTOR 4 /* the taps of a lane's columns and backward's sums stay in its registers */
#include "tile/tile.h"
#include "tile/rows.h"
#include "kernels/convolution/short_convolution/short_convolution.h"

/* On a GPU each warp of a program has a strip of the rows. */
enum {
    COLS = SHORT_CONVOLUTION_COLS,
    FEW = SHORT_CONVOLUTION_FEW,
    AT_ONCE = 4,
    STRIPS = ON_GPU ? 4 : 1,
    STRIP_ROWS = SHORT_CONVOLUTION_ROWS / STRIPS
};

DEVICE int64_t columns_of_block(int64_t block, int64_t cols) {
    return cols - block * COLS < COLS ? cols - block * COLS : COLS;
}

/* Fills taps[width + 1, COLS] for the columns from `first` on. */
DEVICE void fill_taps(float *taps, const void *weight, const void *bias, int64_t first, int64_t cols, int64_t width) {
    const element *weights = (const element *)weight + first * width;
    const element *biases = (const element *)bias + (bias ? first : 0);
    for (int64_t w = 0; w < width; w++)
        EACH (i, cols) taps[w * COLS + i] = to_float(weights[i * width + w]);
    EACH (i, cols) taps[width * COLS + i] = bias ? to_float(biases[i]) : 0.0f;
}

KERNEL(short_convolution_taps, ShortConvolutionTapsArguments) {
    fill_taps(a.taps + program_x * COLS * (a.width + 1), a.weight, a.bias, program_x * COLS,
              columns_of_block(program_x, a.cols), a.width);
}

/* The newest tap of a block of columns. Each older one is COLS entries before it, and the bias COLS entries after
 * it. */
DEVICE const float *newest_tap(const float *taps, int64_t block, int64_t width) {
    return taps + (block * (width + 1) + width - 1) * COLS;
}

/* How many of the `width` rows `row`, row + step, row + 2 step, ... are in the row's document. */
DEVICE int64_t rows_of_document(const int32_t *segment, int64_t row, int64_t step, int64_t T, int64_t width) {
    const int64_t t = row % T, room = step < 0 ? t + 1 : T - t;
    const int64_t most = room < width ? room : width;
    int64_t count = 1;
    while (count < most && segment[row + count * step] == segment[row]) count++;
    return count;
}

/* A warp's work: the rows [start, end) of the columns [first, first + cols). */
typedef struct ConvolutionStrip {
    int64_t start, end, first, cols;
    const float *tap; /* the newest tap */
    bool fast;        /* there are four taps, and all vectors are whole */
} ConvolutionStrip;

DEVICE ConvolutionStrip strip_of(int64_t strip, int64_t block, int64_t row_block, int64_t rows, int64_t cols,
                                 const float *tap, bool fast) {
    const int64_t start = row_block * SHORT_CONVOLUTION_ROWS + strip * STRIP_ROWS;
    const ConvolutionStrip c = {.start = start,
                                .end = end_of_program(start, rows, STRIP_ROWS),
                                .first = block * COLS,
                                .cols = columns_of_block(block, cols),
                                .tap = tap,
                                .fast = fast};
    return c;
}

/* Declares `tap`, the newest tap of the program's columns. */
#define TAP_OF_PROGRAM(tap, a)                                                                                         \
    VECTOR(few_, (FEW + 1) * COLS);                                                                                    \
    if ((a).width <= FEW)                                                                                              \
        fill_taps(few_, (a).weight, (a).bias, program_x *COLS, columns_of_block(program_x, (a).cols), (a).width);      \
    sync();                                                                                                            \
    const float *const tap =                                                                                           \
        (a).width <= FEW ? newest_tap(few_, 0, (a).width) : newest_tap((a).taps, program_x, (a).width)

/* Whether the rows first .. last all belong to one document. */
DEVICE bool in_one_document(const int32_t *segment, int64_t first, int64_t last, int64_t T) {
    if (first < 0) return false;
    return (int64_t)((uint32_t)first % (uint32_t)T) + last - first < T && segment[first] == segment[last];
}

/* Declares z = bias + the sum over j < count of tap_j x_{t-j}, one VECTOR; x points to the newest row. */
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

/* Reads the bias and four taps for one VECTOR, the newest tap first. */
#define READ_TAPS(tap)                                                                                                 \
    READ_F32(bias, (tap) + COLS);                                                                                      \
    READ_F32(tap0, tap);                                                                                               \
    READ_F32(tap1, (tap)-COLS);                                                                                        \
    READ_F32(tap2, (tap)-2 * COLS);                                                                                    \
    READ_F32(tap3, (tap)-3 * COLS)
/* z of a row, where x0 is its entries and x1, x2, x3 are those of the three rows before. */
#define Z_OF_ROW(z, x0, x1, x2, x3)                                                                                    \
    EACH_LANE(e) {                                                                                                     \
        z[e] = bias[e] + tap0[e] * x0[e];                                                                              \
        z[e] += tap1[e] * x1[e];                                                                                       \
        z[e] += tap2[e] * x2[e];                                                                                       \
        z[e] += tap3[e] * x3[e];                                                                                       \
    }
#define COPY(to, from) EACH_LANE(e) to[e] = from[e]

/* Convolves `rows` rows from x on with four taps. `rows` is a multiple of AT_ONCE, and all these rows and the three
 * before belong to one document. Each entry and each tap is read once. */
DEVICE void short_convolution_rows(TEAM, const element *x, int64_t x_stride, const float *tap, element *y,
                                   int64_t y_stride, int64_t cols, int64_t rows, bool silu) {
    WHOLE_VECTOR(i, cols) {
        READ_TAPS(tap + i);
        READ(before3, x + i - 3 * x_stride);
        READ(before2, x + i - 2 * x_stride);
        READ(before1, x + i - x_stride);
        for (int64_t r = 0; r < rows; r += AT_ONCE) {
            const element *from = x + i + r * x_stride;
            element *to = y + i + r * y_stride;
            READ(row0, from);
            READ(row1, from + x_stride);
            READ(row2, from + 2 * x_stride);
            READ(row3, from + 3 * x_stride);
            float z0[VECTOR], z1[VECTOR], z2[VECTOR], z3[VECTOR];
            Z_OF_ROW(z0, row0, before1, before2, before3);
            Z_OF_ROW(z1, row1, row0, before1, before2);
            Z_OF_ROW(z2, row2, row1, row0, before1);
            Z_OF_ROW(z3, row3, row2, row1, row0);
            EACH_LANE(e) {
                z0[e] = silu ? silu_f(z0[e]) : z0[e];
                z1[e] = silu ? silu_f(z1[e]) : z1[e];
                z2[e] = silu ? silu_f(z2[e]) : z2[e];
                z3[e] = silu ? silu_f(z3[e]) : z3[e];
            }
            WRITE(to, z0);
            WRITE(to + y_stride, z1);
            WRITE(to + 2 * y_stride, z2);
            WRITE(to + 3 * y_stride, z3);
            COPY(before3, row1);
            COPY(before2, row2);
            COPY(before1, row3);
        }
    }
}

/* How many of `left` rows can be taken together from the row on (step 1) or up to it (step -1): a multiple of AT_ONCE,
 * or 0. They must be in one document with the three rows before them and, for step -1, with the three after them. */
DEVICE int64_t rows_together(const int32_t *segment, int64_t row, int64_t step, int64_t left, int64_t T) {
    int64_t rows = ON_GPU ? left / AT_ONCE * AT_ONCE : left < AT_ONCE ? 0 : AT_ONCE;
    while (rows > 0) {
        const int64_t first = step > 0 ? row : row - rows + 1, last = step > 0 ? row + rows - 1 : row + 3;
        if (in_one_document(segment, first - 3, last, T)) return rows;
        rows = rows > AT_ONCE ? AT_ONCE : 0;
    }
    return 0;
}

DEVICE void short_convolution_strip(TEAM, const ShortConvolutionArguments a, const ConvolutionStrip c, bool silu) {
    int64_t row = c.start;
    while (row < c.end) {
        const element *x = (const element *)a.x + row * a.x_stride + c.first;
        element *y = (element *)a.y + row * a.y_stride + c.first;
        const int64_t together = c.fast ? rows_together(a.segment, row, 1, c.end - row, a.T) : 0;
        if (together > 0) {
            short_convolution_rows(TEAM_HERE, x, a.x_stride, c.tap, y, a.y_stride, c.cols, ON_GPU ? together : AT_ONCE,
                                   silu);
            row += together;
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
    TAP_OF_PROGRAM(tap, a);
    const bool fast = a.width == 4 && VECTORS_FIT(a.cols | a.x_stride | a.y_stride, a.x, a.y);
    EACH_ROW (strip, 0, STRIPS) {
        const ConvolutionStrip c = strip_of(strip, program_x, program_y, a.rows, a.cols, tap, fast);
        if (a.silu)
            short_convolution_strip(TEAM_HERE, a, c, true);
        else
            short_convolution_strip(TEAM_HERE, a, c, false);
    }
}

/* What backward remembers between rows, in rows of COLUMNS: dz of row t at t modulo width, then the sums of dtaps, the
 * newest tap's first, then the sum of dbias. */
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

/* Computes dz of a row. With `own`, the row also contributes to dtaps; otherwise only the rows before it need its
 * dz. */
DEVICE void short_convolution_dz(TEAM, const ShortConvolutionBackwardArguments a, const ConvolutionStrip c,
                                 float *state, int64_t row, int64_t count, bool own, bool silu) {
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

DEVICE void short_convolution_dz_row(TEAM, const ShortConvolutionBackwardArguments a, const ConvolutionStrip c,
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

DEVICE void short_convolution_dx(TEAM, const ShortConvolutionBackwardArguments a, const ConvolutionStrip c,
                                 float *state, int64_t row, int64_t count) {
    element *dx = (element *)a.dx + row * a.x_stride + c.first;
    const int64_t slot = row % a.width; /* of dz of the row; those of the rows after it follow, modulo width */
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

DEVICE void short_convolution_dx_row(TEAM, const ShortConvolutionBackwardArguments a, const ConvolutionStrip c,
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

/* Turns z of a row into its dz. */
#define DZ_OF_ROW(z, dy) EACH_LANE(e) z[e] = silu ? dy[e] * silu_derivative_f(z[e]) : dy[e]

/* Computes dz of the three rows from `row` on, with four taps. They must be in one document with the three rows
 * before. */
DEVICE void short_convolution_dz_behind(TEAM, const ShortConvolutionBackwardArguments a, const ConvolutionStrip c,
                                        float *state, int64_t row, bool silu) {
    const element *x = (const element *)a.x + row * a.x_stride + c.first;
    const element *dy = (const element *)a.dy + row * a.dy_stride + c.first;
    WHOLE_VECTOR(i, c.cols) {
        READ_TAPS(c.tap + i);
        READ(before3, x + i - 3 * a.x_stride);
        READ(before2, x + i - 2 * a.x_stride);
        READ(before1, x + i - a.x_stride);
        READ(row0, x + i);
        READ(row1, x + i + a.x_stride);
        READ(row2, x + i + 2 * a.x_stride);
        READ(dy0, dy + i);
        READ(dy1, dy + i + a.dy_stride);
        READ(dy2, dy + i + 2 * a.dy_stride);
        float dz0[VECTOR], dz1[VECTOR], dz2[VECTOR];
        Z_OF_ROW(dz0, row0, before1, before2, before3);
        Z_OF_ROW(dz1, row1, row0, before1, before2);
        Z_OF_ROW(dz2, row2, row1, row0, before1);
        DZ_OF_ROW(dz0, dy0);
        DZ_OF_ROW(dz1, dy1);
        DZ_OF_ROW(dz2, dy2);
        WRITE_COLUMNS(dz_of_row(state, 4, row), i, dz0);
        WRITE_COLUMNS(dz_of_row(state, 4, row + 1), i, dz1);
        WRITE_COLUMNS(dz_of_row(state, 4, row + 2), i, dz2);
    }
}

/* Adds over AT_ONCE rows, the last one first: sum += dz3 x3 + dz2 x2 + ... */
#define ADD_SUMS(sum, x3, x2, x1, x0)                                                                                  \
    EACH_LANE(e) {                                                                                                     \
        sum[e] += z3[e] * x3[e];                                                                                       \
        sum[e] += z2[e] * x2[e];                                                                                       \
        sum[e] += z1[e] * x1[e];                                                                                       \
        sum[e] += z0[e] * x0[e];                                                                                       \
    }
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

/* Backward of `rows` rows up to `end`, with four taps. `rows` is a multiple of AT_ONCE, and all these rows, the three
 * before and the three after belong to one document. Each of their entries and each tap is read once. */
DEVICE void short_convolution_rows_backward(TEAM, const ShortConvolutionBackwardArguments a, const ConvolutionStrip c,
                                            float *state, int64_t end, int64_t rows, bool silu) {
    const element *x = (const element *)a.x + end * a.x_stride + c.first;
    const element *dy = (const element *)a.dy + end * a.dy_stride + c.first;
    element *dx = (element *)a.dx + end * a.x_stride + c.first;
    float *behind0 = dz_of_row(state, 4, end), *behind1 = dz_of_row(state, 4, end + 1),
          *behind2 = dz_of_row(state, 4, end + 2), *dbias = dbias_of(state, 4);
    WHOLE_VECTOR(i, c.cols) {
        READ_TAPS(c.tap + i);
        READ_COLUMNS(after0, behind0, i);
        READ_COLUMNS(after1, behind1, i);
        READ_COLUMNS(after2, behind2, i);
        READ_COLUMNS(sum0, dtaps_of(state, 4, 0), i);
        READ_COLUMNS(sum1, dtaps_of(state, 4, 1), i);
        READ_COLUMNS(sum2, dtaps_of(state, 4, 2), i);
        READ_COLUMNS(sum3, dtaps_of(state, 4, 3), i);
        READ(row3, x + i - a.x_stride);
        READ(row2, x + i - 2 * a.x_stride);
        READ(row1, x + i - 3 * a.x_stride);
        for (int64_t r = AT_ONCE; r <= rows; r += AT_ONCE) {
            const element *from = x + i - r * a.x_stride, *dfrom = dy + i - r * a.dy_stride;
            element *to = dx + i - r * a.x_stride;
            READ(row0, from);
            READ(before1, from - a.x_stride);
            READ(before2, from - 2 * a.x_stride);
            READ(before3, from - 3 * a.x_stride);
            READ(dy0, dfrom);
            READ(dy1, dfrom + a.dy_stride);
            READ(dy2, dfrom + 2 * a.dy_stride);
            READ(dy3, dfrom + 3 * a.dy_stride);
            float z0[VECTOR], z1[VECTOR], z2[VECTOR], z3[VECTOR];
            Z_OF_ROW(z0, row0, before1, before2, before3);
            Z_OF_ROW(z1, row1, row0, before1, before2);
            Z_OF_ROW(z2, row2, row1, row0, before1);
            Z_OF_ROW(z3, row3, row2, row1, row0);
            DZ_OF_ROW(z3, dy3);
            DZ_OF_ROW(z2, dy2);
            DZ_OF_ROW(z1, dy1);
            DZ_OF_ROW(z0, dy0);
            if (a.partial_bias) {
                READ_COLUMNS(sum, dbias, i);
                EACH_LANE(e) sum[e] = (((sum[e] + z3[e]) + z2[e]) + z1[e]) + z0[e];
                WRITE_COLUMNS(dbias, i, sum);
            }
            ADD_SUMS(sum0, row3, row2, row1, row0);
            ADD_SUMS(sum1, row2, row1, row0, before1);
            ADD_SUMS(sum2, row1, row0, before1, before2);
            ADD_SUMS(sum3, row0, before1, before2, before3);
            WRITE_DX(to + 3 * a.x_stride, z3, after0, after1, after2);
            WRITE_DX(to + 2 * a.x_stride, z2, z3, after0, after1);
            WRITE_DX(to + a.x_stride, z1, z2, z3, after0);
            WRITE_DX(to, z0, z1, z2, z3);
            COPY(after0, z0);
            COPY(after1, z1);
            COPY(after2, z2);
            COPY(row3, before1);
            COPY(row2, before2);
            COPY(row1, before3);
        }
        WRITE_COLUMNS(behind0, i, after0);
        WRITE_COLUMNS(behind1, i, after1);
        WRITE_COLUMNS(behind2, i, after2);
        WRITE_COLUMNS(dtaps_of(state, 4, 0), i, sum0);
        WRITE_COLUMNS(dtaps_of(state, 4, 1), i, sum1);
        WRITE_COLUMNS(dtaps_of(state, 4, 2), i, sum2);
        WRITE_COLUMNS(dtaps_of(state, 4, 3), i, sum3);
    }
}

/* Walks the rows backwards, so that dz of the rows after a row is still there when its dx is computed. `few` is the
 * state, inside the program, for at most four taps; `state` is the state for any number of taps. */
DEVICE void short_convolution_backward_strip(TEAM, const ShortConvolutionBackwardArguments a, const ConvolutionStrip c,
                                             float *few, float *state, bool silu) {
    for (int64_t n = 0; n < 2 * a.width + 1; n++) columns_zero(COLUMNS_ROW(state, COLS, n), COLS, c.cols);
    if (c.start >= c.end) return;
    if (c.fast && in_one_document(a.segment, c.end - 3, c.end + 2, a.T)) {
        short_convolution_dz_behind(TEAM_HERE, a, c, few, c.end, silu);
    } else {
        const int64_t last = c.end - 1 + rows_of_document(a.segment, c.end - 1, 1, a.T, a.width);
        for (int64_t row = last - 1; row >= c.end; row--)
            short_convolution_dz_row(TEAM_HERE, a, c, state, row, false, silu);
    }
    int64_t row = c.end - 1;
    while (row >= c.start) {
        const int64_t together = c.fast ? rows_together(a.segment, row, -1, row + 1 - c.start, a.T) : 0;
        if (together > 0) {
            short_convolution_rows_backward(TEAM_HERE, a, c, few, row + 1, ON_GPU ? together : AT_ONCE, silu);
            row -= together;
            continue;
        }
        short_convolution_dz_row(TEAM_HERE, a, c, state, row, true, silu);
        short_convolution_dx_row(TEAM_HERE, a, c, state, row);
        row--;
    }
}

/* Writes the sums over the strips to the program's row of partial sums. If there are few taps, they go through `totals`
 * [FEW, COLS], so that neighbouring threads write neighbouring entries. */
DEVICE void write_partial(const ShortConvolutionBackwardArguments a, float *state, float *totals, int64_t row_block,
                          int64_t first, int64_t cols) {
    float *partial = a.partial + (row_block * a.cols + first) * a.width;
    float *partial_bias = a.partial_bias ? a.partial_bias + row_block * a.cols + first : NULL;
    VECTORS_OF(partial_bias);
    EACH_VECTOR(i, cols) {
        for (int64_t j = 0; j < a.width; j++) {
            READ_TOTALS(sum, dtaps_of(state, a.width, j), i, COLS);
            float *to = a.width <= FEW ? totals + (a.width - 1 - j) * COLS : partial + a.width - 1 - j;
            EACH_LANE(e) if (LANE_INSIDE(e)) to[(i + e) * (a.width <= FEW ? 1 : a.width)] = sum[e];
        }
        READ_TOTALS(sum, dbias_of(state, a.width), i, COLS);
        if (partial_bias) WRITE_F32(partial_bias + i, sum);
    }
    sync();
    EACH_PAIR(i, w, COLS, FEW)
    if (a.width <= FEW && i < cols && w < a.width) partial[i * a.width + w] = totals[w * COLS + i];
}

KERNEL(short_convolution_backward, ShortConvolutionBackwardArguments) {
    COLUMNS(few, 2 * FEW + 1, COLS);
    VECTOR(totals, FEW * COLS);
    TAP_OF_PROGRAM(tap, a);
    const int64_t blocks = blocks_of(a.cols, COLS), scratch = SHORT_CONVOLUTION_SCRATCH(a.width);
    const bool fast = a.width == 4 && VECTORS_FIT(a.cols | a.x_stride | a.dy_stride, a.x, a.dy, a.dx);
    float *state = a.width <= FEW ? few : a.scratch + (program_y * blocks + program_x) * scratch;
    EACH_ROW (strip, 0, STRIPS) {
        const ConvolutionStrip c = strip_of(strip, program_x, program_y, a.rows, a.cols, tap, fast);
        if (a.silu)
            short_convolution_backward_strip(TEAM_HERE, a, c, few, state, true);
        else
            short_convolution_backward_strip(TEAM_HERE, a, c, few, state, false);
    }
    sync();
    write_partial(a, state, totals, program_y, program_x * COLS, columns_of_block(program_x, a.cols));
}
