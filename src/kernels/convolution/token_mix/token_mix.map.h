/* RWKV's token shift: mixes of each token with the one before (arXiv 2404.05892); equations in token_mix.h. A warp
 * walks down its rows, so that x is read once and the numbers of a column stay in registers. Walks are inlined with
 * constants for the number of outputs and for whether mu is a parameter. */
#if defined(TILE_ELEMENT_BF16)
#define TILE_PROGRAMS 4
#endif
#define TILE_VECTOR 4 /* with twice as many the numbers would not fit into registers */
#include "tile/tile.h"
#include "kernels/convolution/token_mix/token_mix.h"
#include "tile/rows.h"

/* On a GPU each warp of a program walks down a strip of the rows in one go; on the CPU the program takes row by row. */
enum { MOST = TOKEN_MIX_MOST, COLS = TOKEN_MIX_COLS, STRIPS = ON_GPU ? 4 : 1, STRIP_ROWS = TOKEN_MIX_ROWS / STRIPS };

/* A warp's work: the rows [start, end) of the columns [first, first + cols). */
typedef struct MixStrip {
    int64_t start, end, first, cols;
} MixStrip;

DEVICE MixStrip strip_of(int64_t strip, int64_t first, int64_t row_block, int64_t rows, int64_t cols,
                         int64_t most_cols) {
    const int64_t start = row_block * TOKEN_MIX_ROWS + strip * STRIP_ROWS;
    const MixStrip c = {start, end_of_program(start, rows, STRIP_ROWS), first,
                        cols - first < most_cols ? cols - first : most_cols};
    return c;
}

/* Applies a macro to the number of each output. It is not a loop because each output has variables of its own (m0, m1,
 * ...): an array of them would keep the CPU's loops over columns from being vectorised. */
#define EACH_MIX(WORD) WORD(0) WORD(1) WORD(2) WORD(3) WORD(4) WORD(5)
#define EACH_COUNT(function, ...)                                                                                      \
    do {                                                                                                               \
        if (a.count == 1) function(__VA_ARGS__, 1);                                                                    \
        if (a.count == 2) function(__VA_ARGS__, 2);                                                                    \
        if (a.count == 3) function(__VA_ARGS__, 3);                                                                    \
        if (a.count == 4) function(__VA_ARGS__, 4);                                                                    \
        if (a.count == 5) function(__VA_ARGS__, 5);                                                                    \
        if (a.count == 6) function(__VA_ARGS__, 6);                                                                    \
    } while (0)

/* The bits of all addresses and strides of the mixes, or'ed together, for VECTORS_OF. */
DEVICE uintptr_t bits_of(const void *const *mu, const int64_t *mu_stride, const void *const *out, int64_t out_stride,
                         const void *offset, const int count) {
    uintptr_t bits = (uintptr_t)offset | (uintptr_t)(out_stride * (int64_t)sizeof(element));
    for (int n = 0; n < count; n++)
        bits |= (uintptr_t)mu[n] | (uintptr_t)(mu_stride[n] * (int64_t)sizeof(element)) | (uintptr_t)out[n];
    return bits;
}

/* Declares float m0[VECTOR], ...: the part of m_0, ... at column i that all tokens share, which is a parameter, the
 * offset or 0. */
#define COMMON(n)                                                                                                      \
    float m##n[VECTOR] = {0};                                                                                          \
    if (n < count) {                                                                                                   \
        const bool offset_ = !parameters && a.offset;                                                                  \
        const element *from_ = offset_ ? (const element *)a.offset + n * a.cols : (const element *)a.mu[n];            \
        READ(common, from_ + c.first + i);                                                                             \
        EACH_LANE(e) m##n[e] = parameters || offset_ ? common[e] : 0.0f;                                               \
    }
/* Declares float w[VECTOR], m_n of a row. */
#define READ_WEIGHT(w, n, row)                                                                                         \
    float w[VECTOR];                                                                                                   \
    EACH_LANE(e) w[e] = m##n[e];                                                                                       \
    if (!parameters) {                                                                                                 \
        READ(of_token, (const element *)a.mu[n] + (row)*a.mu_stride[n] + c.first + i);                                 \
        EACH_LANE(e) w[e] += of_token[e];                                                                              \
    }

#define MIX(n)                                                                                                         \
    if (n < count) {                                                                                                   \
        READ_WEIGHT(w, n, row);                                                                                        \
        EACH_LANE(e) w[e] = now[e] + delta[e] * w[e];                                                                  \
        WRITE((element *)a.out[n] + row * a.out_stride + c.first + i, w);                                              \
    }

/* Computes the outputs of `rows` rows from `start` on. */
DEVICE void token_mix_rows(TEAM, const TokenMixArguments a, const MixStrip c, int64_t start, int64_t rows,
                           const bool parameters, const int count) {
    const element *x = (const element *)a.x + c.first;
    VECTORS_OF(a.x, a.x_stride * sizeof(element),
               bits_of(a.mu, a.mu_stride, (const void *const *)a.out, a.out_stride, a.offset, count));
    WARP_VECTOR(i, c.cols) {
        EACH_MIX(COMMON)
        READ(before, x + (start > 0 ? start - 1 : 0) * a.x_stride + i);
        for (int64_t row = start; row < start + rows; row++) {
            const bool follows = a.position[row] > 0;
            READ(now, x + row * a.x_stride + i);
            float delta[VECTOR];
            EACH_LANE(e) delta[e] = (follows ? before[e] : 0.0f) - now[e];
            EACH_MIX(MIX)
            EACH_LANE(e) before[e] = now[e];
        }
    }
}

DEVICE void token_mix_strip(TEAM, const TokenMixArguments a, const MixStrip c, const bool parameters, const int count) {
    for (int64_t row = c.start; row < c.end; row += ON_GPU ? STRIP_ROWS : 1)
        token_mix_rows(TEAM_HERE, a, c, row, ON_GPU ? c.end - row : 1, parameters, count);
}

KERNEL(token_mix, TokenMixArguments) {
    EACH_ROW (strip, 0, STRIPS) {
        const MixStrip c =
            strip_of(strip, program_x * a.cols_per_program, program_y, a.rows, a.cols, a.cols_per_program);
        if (a.parameters)
            EACH_COUNT(token_mix_strip, TEAM_HERE, a, c, true);
        else
            EACH_COUNT(token_mix_strip, TEAM_HERE, a, c, false);
    }
}

/* What backward remembers between rows, in rows of COLUMNS: the sums of dm_i, then u of the next row (it walks
 * backwards). */
DEVICE float *sums_of(float *state, int n) { return COLUMNS_ROW(state, COLS, n); }
DEVICE float *behind_of(float *state) { return COLUMNS_ROW(state, COLS, MOST); }

#define ADD_BEHIND(n)                                                                                                  \
    if (n < count) {                                                                                                   \
        READ(d, (const element *)a.dout[n] + c.end * a.out_stride + c.first + i);                                      \
        READ_WEIGHT(w, n, c.end);                                                                                      \
        EACH_LANE(e) u[e] += w[e] * d[e];                                                                              \
    }

/* Computes u of the row after the strip. */
DEVICE void token_mix_behind(TEAM, const TokenMixBackwardArguments a, const MixStrip c, float *state,
                             const bool parameters, const int count) {
    VECTORS_OF(bits_of(a.mu, a.mu_stride, a.dout, a.out_stride, a.offset, count));
    WARP_VECTOR(i, c.cols) {
        float u[VECTOR] = {0};
        EACH_MIX(COMMON)
        EACH_MIX(ADD_BEHIND)
        WRITE_COLUMNS(behind_of(state), i, u);
    }
}

#define SUM_SO_FAR(n)                                                                                                  \
    float sum##n[VECTOR] = {0};                                                                                        \
    if (n < count) {                                                                                                   \
        READ_COLUMNS(so_far, sums_of(state, n), i);                                                                    \
        EACH_LANE(e) sum##n[e] = so_far[e];                                                                            \
    }
#define KEEP_SUM(n)                                                                                                    \
    if (n < count) WRITE_COLUMNS(sums_of(state, n), i, sum##n);
#define MIX_BACKWARD(n)                                                                                                \
    if (n < count) {                                                                                                   \
        READ(d, (const element *)a.dout[n] + row * a.out_stride + c.first + i);                                        \
        READ_WEIGHT(w, n, row);                                                                                        \
        EACH_LANE(e) {                                                                                                 \
            dx[e] += d[e];                                                                                             \
            u[e] += w[e] * d[e];                                                                                       \
            d[e] *= delta[e];                                                                                          \
            sum##n[e] += d[e];                                                                                         \
        }                                                                                                              \
        if (!parameters) WRITE((element *)a.dmu[n] + row * a.mu_stride[n] + c.first + i, d);                           \
    }

/* Computes the gradients of the `rows` rows before `end`, from the last to the first. */
DEVICE void token_mix_backward_rows(TEAM, const TokenMixBackwardArguments a, const MixStrip c, float *state,
                                    int64_t end, int64_t rows, const bool parameters, const int count) {
    const element *x = (const element *)a.x + c.first;
    VECTORS_OF(a.x, a.dx, a.x_stride * sizeof(element),
               bits_of(a.mu, a.mu_stride, a.dout, a.out_stride, a.offset, count),
               bits_of((const void *const *)a.dmu, a.mu_stride, a.dout, a.out_stride, a.offset, count));
    WARP_VECTOR(i, c.cols) {
        EACH_MIX(COMMON)
        EACH_MIX(SUM_SO_FAR)
        READ_COLUMNS(behind, behind_of(state), i);
        READ(now, x + (end - 1) * a.x_stride + i);
        for (int64_t row = end - 1; row >= end - rows; row--) {
            const bool follows = a.position[row] > 0;
            READ(before, x + (row > 0 ? row - 1 : 0) * a.x_stride + i);
            float delta[VECTOR], dx[VECTOR] = {0}, u[VECTOR] = {0};
            EACH_LANE(e) delta[e] = (follows ? before[e] : 0.0f) - now[e];
            EACH_MIX(MIX_BACKWARD)
            EACH_LANE(e) {
                dx[e] += behind[e] - u[e];
                behind[e] = follows ? u[e] : 0.0f;
                now[e] = before[e];
            }
            WRITE((element *)a.dx + row * a.x_stride + c.first + i, dx);
        }
        EACH_MIX(KEEP_SUM)
        WRITE_COLUMNS(behind_of(state), i, behind);
    }
}

DEVICE void token_mix_backward_strip(TEAM, const TokenMixBackwardArguments a, const MixStrip c, float *state,
                                     const bool parameters, const int count) {
    for (int n = 0; n <= MOST; n++) columns_zero(COLUMNS_ROW(state, COLS, n), COLS, c.cols);
    if (c.end < a.rows && a.position[c.end] > 0) token_mix_behind(TEAM_HERE, a, c, state, parameters, count);
    for (int64_t end = c.end; end > c.start; end -= ON_GPU ? STRIP_ROWS : 1)
        token_mix_backward_rows(TEAM_HERE, a, c, state, end, ON_GPU ? end - c.start : 1, parameters, count);
}

KERNEL(token_mix_backward, TokenMixBackwardArguments) {
    COLUMNS(state, MOST + 1, COLS);
    EACH_ROW (strip, 0, STRIPS) {
        const MixStrip c =
            strip_of(strip, program_x * a.cols_per_program, program_y, a.rows, a.cols, a.cols_per_program);
        if (a.parameters)
            EACH_COUNT(token_mix_backward_strip, TEAM_HERE, a, c, state, true);
        else
            EACH_COUNT(token_mix_backward_strip, TEAM_HERE, a, c, state, false);
    }
    sync();
    const MixStrip c = strip_of(0, program_x * a.cols_per_program, program_y, a.rows, a.cols, a.cols_per_program);
    for (int64_t n = 0; a.partial && n < a.count; n++) {
        float *partial = a.partial + (program_y * a.count + n) * a.cols + c.first;
        VECTORS_OF(partial);
        EACH_VECTOR(i, c.cols) {
            READ_TOTALS(sum, sums_of(state, (int)n), i, COLS);
            WRITE_F32(partial + i, sum);
        }
    }
}
