/* Code that the kernels of recurrences with gates per channel share, for chunks of 64 rows.
 *
 * With G the running sum of the gates in the chunk, rows i and j <= i meet with the decay e^(G_i - G_j) in each
 * channel. Gates are only summed over the rows between two rows, so that no e^x of x > 0 is needed and nothing cancels.
 * A chunk has four quarters of 16 rows. Between two quarters e^(G_i - G_j) is the product of a factor of i, one of the
 * quarters between, and one of j. Inside a quarter it is e^(P_i) e^(-P_j), with P the running sum in the quarter, as
 * long as P stays above -GATE_LIMIT. Otherwise a program's block of K is steep, and the pairs of rows inside its
 * quarters are taken one by one. */
#ifndef FLAME_KERNELS_RECURRENCES_VECTOR_GATES_H
#define FLAME_KERNELS_RECURRENCES_VECTOR_GATES_H

#include "kernels/chunk.h"

enum { QUARTER = 16, CHUNK_QUARTERS = CHUNK_ROWS / QUARTER };

/* Factors e^P and e^(-P) are within e^+-40, about 10^+-17. Elements and sums have room for 10^+-38, also for the
 * products above the diagonal, which get up to e^40 times as large as their operands before they are masked. Rounding P
 * to fp32 changes e^P by at most 40 * 2^-24, about 2 * 10^-6 of its value. */
#define GATE_LIMIT 40.0f

/* e^x, where x is a sum of gates. */
#define DECAY(x) exp2_f((x)*1.44269504f)

/* document[i] = the segment number of row i, counted from that of the first row; -1 past the last row. */
DEVICE void rows_documents(float *document, const int32_t *segment, Rows rows) {
    EACH (i, CHUNK_ROWS) document[i] = i < rows.count ? (float)(segment[rows.first + i] - segment[rows.first]) : -1.0f;
}

/* weight[i] = 1 if row i belongs to document `wanted`, else 0. */
DEVICE void rows_of_document(float *weight, const int32_t *segment, Rows rows, int32_t wanted) {
    EACH (i, CHUNK_ROWS)
        weight[i] = i < rows.count && segment[rows.first + (i < rows.count ? i : 0)] == wanted ? 1.0f : 0.0f;
}

/* sums [CHUNK_QUARTERS, width] = the sums of the gates in each quarter. For every row and column d, the statements see
 * `sum`, from the start of the quarter up to and including the row. */
#define SUM_GATES(sums, g, row, d, sum, ...)                                                                           \
    BLOCK_WALK(sum, 0.0f, b_, CHUNK_QUARTERS, d, sums##_cols, i_, QUARTER, const int row = b_ * QUARTER + i_;          \
               sum += ENTRY(g, row, d); __VA_ARGS__; if (i_ == QUARTER - 1) ENTRY(sums, b_, d) = sum)
/* The same, but `sum` is that of the gates in the quarter after the row, and the sums of quarters are not kept. */
#define SUM_GATES_AFTER(g, row, d, sum, ...)                                                                           \
    BLOCK_WALK(sum, 0.0f, b_, CHUNK_QUARTERS, d, g##_cols, i_, QUARTER,                                                \
               const int row = b_ * QUARTER + QUARTER - 1 - i_;                                                        \
               const float gate_ = ENTRY(g, row, d); __VA_ARGS__; sum += gate_)
/* With P, the sum of the gates of a quarter up to and including a row: to_row = e^P, the decay from the start of the
 * quarter to the row, and from_row = e^(-P), which undoes it. Also sets the sums. */
#define DECAYS_OF_ROWS(to_row, from_row, sums, g)                                                                      \
    SUM_GATES(sums, g, row_, d_, sum_, ENTRY(to_row, row_, d_) = DECAY(sum_); ENTRY(from_row, row_, d_) = DECAY(-sum_))
/* The sums over the quarters before b, over those after b, and over all quarters. */
#define SUM_BEFORE(sums, b, d)                                                                                         \
    (((b) > 0 ? ENTRY(sums, 0, d) : 0.0f) + ((b) > 1 ? ENTRY(sums, 1, d) : 0.0f) + ((b) > 2 ? ENTRY(sums, 2, d) : 0.0f))
#define SUM_AFTER(sums, b, d)                                                                                          \
    (((b) < 1 ? ENTRY(sums, 1, d) : 0.0f) + ((b) < 2 ? ENTRY(sums, 2, d) : 0.0f) + ((b) < 3 ? ENTRY(sums, 3, d) : 0.0f))
#define SUM_ALL(sums, d) (ENTRY(sums, 0, d) + SUM_AFTER(sums, 0, d))
/* The decays over each quarter, over the quarters before it, and over those after it. */
#define DECAYS_OF_QUARTERS(inside, before, after, sums)                                                                \
    do {                                                                                                               \
        EACH_PAIR(b_, d_, CHUNK_QUARTERS, sums##_cols) {                                                               \
            ENTRY(inside, b_, d_) = DECAY(ENTRY(sums, b_, d_));                                                        \
            ENTRY(before, b_, d_) = DECAY(SUM_BEFORE(sums, b_, d_));                                                   \
            ENTRY(after, b_, d_) = DECAY(SUM_AFTER(sums, b_, d_));                                                     \
        }                                                                                                              \
    } while (0)
/* The decays over each quarter, and to the end of the chunk: from the quarter's start, or from its end if the block is
 * steep. */
#define DECAYS_TO_END(inside, to_end, sums, steep)                                                                     \
    do {                                                                                                               \
        EACH_PAIR(b_, d_, CHUNK_QUARTERS, sums##_cols) {                                                               \
            ENTRY(inside, b_, d_) = DECAY(ENTRY(sums, b_, d_));                                                        \
            ENTRY(to_end, b_, d_) = DECAY(SUM_AFTER(sums, b_, d_) + ((steep) ? 0.0f : ENTRY(sums, b_, d_)));           \
        }                                                                                                              \
    } while (0)

/* A row of readers x (q, a), decayed from the start of its quarter: `near` and, for the last quarter, `half`, which is
 * decayed from the middle of the chunk, are operands of ADD_QUARTER_PRODUCTS; `out` gets weight x decayed from the
 * start of the chunk, which reads the state. `before` and `inside`, [CHUNK_QUARTERS, width]: the decay over the
 * quarters before a quarter, and over the quarter. Inside EACH_ROW_VECTOR. */
#define WRITE_READER(x, row, d, before, inside, near, half, out, weight)                                               \
    do {                                                                                                               \
        const int quarter_ = (row) / QUARTER;                                                                          \
        READ_MATRIX(from_start_, before, quarter_, d);                                                                 \
        WRITE_TILE(near, row, d, x);                                                                                   \
        if (quarter_ == CHUNK_QUARTERS - 1) {                                                                          \
            READ_MATRIX(from_half_, inside, CHUNK_QUARTERS - 2, d);                                                    \
            EACH_LANE(e_) from_half_[e_] *= x[e_];                                                                     \
            WRITE_TILE(half, (row) - (CHUNK_QUARTERS - 1) * QUARTER, d, from_half_);                                   \
        }                                                                                                              \
        EACH_LANE(e_) x[e_] *= from_start_[e_] * (weight);                                                             \
        WRITE_TILE(out, row, d, x);                                                                                    \
    } while (0)
/* A row of writers y (k, b) that `factor` decays to the start of its quarter, or to its end if the block is steep:
 * `start` gets that. `ahead` gets the first two quarters decayed to the middle of the chunk, the third to its end and,
 * in the place of the last, the first to its end. `out` gets weight y decayed to the end of the chunk, which enters the
 * next state. `after`: the decay over the quarters after a quarter. */
#define WRITE_WRITER(y, row, d, factor, steep, inside, after, start, ahead, out, weight)                               \
    do {                                                                                                               \
        const int quarter_ = (row) / QUARTER;                                                                          \
        READ_MATRIX(to_end_, after, quarter_, d);                                                                      \
        READ_MATRIX(in_quarter_, inside, quarter_, d);                                                                 \
        READ_MATRIX(second_, inside, 1, d);                                                                            \
        EACH_LANE(e_) y[e_] *= factor[e_];                                                                             \
        WRITE_TILE(start, row, d, y);                                                                                  \
        EACH_LANE(e_) {                                                                                                \
            y[e_] *= (steep) ? 1.0f : in_quarter_[e_];                                                                 \
            to_end_[e_] = y[e_] * to_end_[e_] * (weight);                                                              \
        }                                                                                                              \
        WRITE_TILE(out, row, d, to_end_);                                                                              \
        if (quarter_ == 0) {                                                                                           \
            WRITE_TILE(ahead, (row) + (CHUNK_QUARTERS - 1) * QUARTER, d, y);                                           \
            EACH_LANE(e_) y[e_] *= second_[e_];                                                                        \
        }                                                                                                              \
        if (quarter_ < CHUNK_QUARTERS - 1) WRITE_TILE(ahead, row, d, y);                                               \
    } while (0)

/* A, [64, 64], += x y^T for `rows` rows of y from y_row on and QUARTER rows of x from x_row on; to A from (row, col)
 * on.
 */
#define ADD_QUARTER_PRODUCT(A, row, col, x, x_row, y, y_row, rows)                                                     \
    do {                                                                                                               \
        TILE_VIEW(x_, x, x_row, 0, QUARTER, x##_cols);                                                                 \
        TILE_VIEW(y_, y, y_row, 0, rows, y##_cols);                                                                    \
        block_mma_nt(A, row, col, x_, y_);                                                                             \
    } while (0)
/* A += the products of the rows of all quarters with those of the quarters before and, if the block is not steep, of
 * their own, from what WRITE_READER and WRITE_WRITER have written. */
#define ADD_QUARTER_PRODUCTS(A, near, half, start, ahead, steep)                                                       \
    do {                                                                                                               \
        ADD_QUARTER_PRODUCT(A, QUARTER, 0, near, QUARTER, ahead, 3 * QUARTER, QUARTER);                                \
        ADD_QUARTER_PRODUCT(A, 2 * QUARTER, 0, near, 2 * QUARTER, ahead, 0, 2 * QUARTER);                              \
        ADD_QUARTER_PRODUCT(A, 3 * QUARTER, 0, half, 0, ahead, 0, 2 * QUARTER);                                        \
        ADD_QUARTER_PRODUCT(A, 3 * QUARTER, 2 * QUARTER, near, 3 * QUARTER, ahead, 2 * QUARTER, QUARTER);              \
        if (!(steep)) {                                                                                                \
            ADD_QUARTER_PRODUCT(A, 0, 0, near, 0, start, 0, QUARTER);                                                  \
            ADD_QUARTER_PRODUCT(A, QUARTER, QUARTER, near, QUARTER, start, QUARTER, QUARTER);                          \
            ADD_QUARTER_PRODUCT(A, 2 * QUARTER, 2 * QUARTER, near, 2 * QUARTER, start, 2 * QUARTER, QUARTER);          \
            ADD_QUARTER_PRODUCT(A, 3 * QUARTER, 3 * QUARTER, near, 3 * QUARTER, start, 3 * QUARTER, QUARTER);          \
        }                                                                                                              \
    } while (0)

/* Gradients of products A of readers x and writers y, given dA: dx += dA y and dy += dA^T x. The gradients of rows
 * of x are kept relative to the start of their quarter, those of rows of y to its end (to its start if the block is not
 * steep); x and y are decayed to the same places. When quarter c is passed, the sums for the rows below it (above it)
 * decay over the quarter, and its rows of y (of x) are added: DECAY_BELOW and ADD_BELOW for c = 0, 1, ..., DECAY_ABOVE
 * and ADD_ABOVE for c = 3, 2, ... */
#define DECAY_BELOW(dx, inside, c) MAP(dx, i_, d_, x_, x_ *= i_ / QUARTER > (c) ? ENTRY(inside, c, d_) : 1.0f)
#define DECAY_ABOVE(dy, inside, c) MAP(dy, j_, d_, x_, x_ *= j_ / QUARTER < (c) ? ENTRY(inside, c, d_) : 1.0f)
#define ADD_BELOW(dx, dA, y, c)                                                                                        \
    do {                                                                                                               \
        TILE_VIEW(y_, y, (c)*QUARTER, 0, QUARTER, y##_cols);                                                           \
        for (int n_ = (c) + 1; n_ < CHUNK_QUARTERS; n_++) {                                                            \
            TILE_VIEW(dA_, dA, n_ *QUARTER, (c)*QUARTER, QUARTER, QUARTER);                                            \
            block_mma_nn(dx, n_ *QUARTER, 0, dA_, y_);                                                                 \
        }                                                                                                              \
    } while (0)
#define ADD_ABOVE(dy, dA, x, c)                                                                                        \
    do {                                                                                                               \
        TILE_VIEW(x_, x, (c)*QUARTER, 0, QUARTER, x##_cols);                                                           \
        for (int n_ = 0; n_ < (c); n_++) {                                                                             \
            TILE_VIEW(dA_, dA, (c)*QUARTER, n_ *QUARTER, QUARTER, QUARTER);                                            \
            block_mma_tn(dy, n_ *QUARTER, 0, dA_, x_);                                                                 \
        }                                                                                                              \
    } while (0)
/* Adds the products inside quarters to both, if the block is not steep. */
#define ADD_INSIDE(dx, dy, dA, x, y)                                                                                   \
    for (int row_ = 0; row_ < CHUNK_ROWS; row_ += QUARTER) {                                                           \
        TILE_VIEW(dA_, dA, row_, row_, QUARTER, QUARTER);                                                              \
        TILE_VIEW(x_, x, row_, 0, QUARTER, x##_cols);                                                                  \
        TILE_VIEW(y_, y, row_, 0, QUARTER, y##_cols);                                                                  \
        block_mma_nn(dx, row_, 0, dA_, y_);                                                                            \
        block_mma_tn(dy, row_, 0, dA_, x_);                                                                            \
    }

#endif
