/* The part and the columns of a program of selective_scan, and the loads and stores of its states; equations in
 * selective_scan.h. */
#ifndef FLAME_KERNELS_RECURRENCES_SELECTIVE_SCAN_SELECTIVE_SCAN_PART_H
#define FLAME_KERNELS_RECURRENCES_SELECTIVE_SCAN_SELECTIVE_SCAN_PART_H

#include "kernels/recurrences/scan_part.h"
#include "kernels/recurrences/selective_scan/selective_scan.h"

enum {
    COLS = SELECTIVE_SCAN_COLS,
    ROWS = SELECTIVE_SCAN_ROWS,
    BLOCK = SELECTIVE_SCAN_BLOCK,
    STATES = SELECTIVE_SCAN_STATES
};
TILE_ASSERT((int)COLS == (int)WALK_COLUMNS, "a thread has a column");
TILE_ASSERT(2 * (int)BLOCK == (int)COLUMN_TOTALS, "column_totals sums dB and dC of a block");
#define LN_2 0.693147181f

/* Programs: x over blocks of columns, y over parts, z over sequences. */
DEVICE ScanPart scan_part(const SelectiveScanArguments *a, int64_t block, int64_t index, int64_t sequence) {
    const ScanPart part = SCAN_PART(a, block, index, sequence);
    return part;
}

DEVICE int rows_of_chunk(const SelectiveScanArguments *a, int64_t chunk) {
    return a->T - chunk * ROWS < ROWS ? (int)(a->T - chunk * ROWS) : ROWS;
}

/* begins[t] = 1 for the chunk's rows in which a document begins, else 0. The first row of a sequence goes on from
 * `initial`. */
DEVICE void fill_begins(float *begins, const SelectiveScanArguments *a, int64_t sequence, int64_t chunk, int count) {
    const int32_t *segment = a->segment + sequence * a->T + chunk * ROWS;
    EACH (t, count) begins[t] = (chunk > 0 || t > 0) && segment[t] != segment[t - 1] ? 1.0f : 0.0f;
}

/* Whether the state before part `index` still counts after it, because no document begins in the part. */
DEVICE bool state_crosses(const SelectiveScanArguments *a, int64_t sequence, int64_t index) {
    const int64_t start = sequence * a->T, first = start + index * a->part_chunks * ROWS;
    const int64_t end = end_of_program(first, start + a->T, a->part_chunks * ROWS);
    return a->segment[first > start ? first - 1 : first] == a->segment[end - 1];
}

/* The offset of entry (state, column) in matrix number `matrix` of several [padded, cols]. */
DEVICE int64_t scan_entry(const SelectiveScanArguments *a, int64_t matrix, int64_t state, int64_t col) {
    return (matrix * a->padded + state) * a->cols + col;
}

/* Fills `rate` with A / ln 2, and 0 beyond N and beyond the last column. */
DEVICE void fill_rates(float *rate, const SelectiveScanArguments *a, ScanPart part, int64_t block) {
    const element *A_log = (const element *)a->A_log + part.first_col * a->N + block * BLOCK;
    const int64_t states = a->N - block * BLOCK;
    TILE_UNROLL for (int n = 0; n < BLOCK; n++) EACH_COLUMN (c) COLUMN_VALUE(rate, n, c) =
        c < part.cols && n < states ? -exp_f(to_float(A_log[c * a->N + n])) * 1.44269504f : 0.0f;
}

DEVICE void fill_bias(float *bias, const SelectiveScanArguments *a, ScanPart part) {
    const element *from = (const element *)a->dt_bias + part.first_col;
    EACH_COLUMN (c) COLUMN_VALUE(bias, 0, c) = c < part.cols ? to_float(from[c]) : 0.0f;
}

/* Load the block's states of matrix `matrix`, with 0 beyond the last column, and store them. */
DEVICE void load_states(float *h, const float *from, const SelectiveScanArguments *a, ScanPart part, int64_t matrix,
                        int64_t block) {
    from += scan_entry(a, matrix, block * BLOCK, part.first_col);
    TILE_UNROLL for (int n = 0; n < BLOCK; n++) EACH_COLUMN (c) COLUMN_VALUE(h, n, c) =
        c < part.cols ? from[n * a->cols + c] : 0.0f;
}
DEVICE void store_states(const float *h, float *to, const SelectiveScanArguments *a, ScanPart part, int64_t matrix,
                         int64_t block) {
    to += scan_entry(a, matrix, block * BLOCK, part.first_col);
    TILE_UNROLL for (int n = 0; n < BLOCK; n++) EACH_COLUMN (c) if (c < part.cols) to[n * a->cols + c] =
        COLUMN_VALUE(h, n, c);
}
DEVICE void zero_states(float *h) {
    TILE_UNROLL for (int n = 0; n < BLOCK; n++) EACH_COLUMN (c) COLUMN_VALUE(h, n, c) = 0;
}

/* The same for a matrix [cols, N] per sequence, as initial and final states are. `from` may be NULL for 0. */
DEVICE void load_outer_states(float *h, const float *from, int64_t stride, const SelectiveScanArguments *a,
                              ScanPart part, int64_t block) {
    const int64_t states = a->N - block * BLOCK,
                  at = (part.sequence * a->cols + part.first_col) * stride + block * BLOCK;
    TILE_UNROLL for (int n = 0; n < BLOCK; n++) EACH_COLUMN (c) COLUMN_VALUE(h, n, c) =
        from && c < part.cols && n < states ? from[at + c * stride + n] : 0.0f;
}
DEVICE void store_outer_states(const float *h, float *to, int64_t stride, const SelectiveScanArguments *a,
                               ScanPart part, int64_t block) {
    const int64_t states = a->N - block * BLOCK,
                  at = (part.sequence * a->cols + part.first_col) * stride + block * BLOCK;
    TILE_UNROLL for (int n = 0; n < BLOCK; n++) EACH_COLUMN (c) if (c < part.cols && n < states)
        to[at + c * stride + n] = COLUMN_VALUE(h, n, c);
}

/* Advances the state h over part `other`. */
DEVICE void cross_part(float *h, const float *rate, const SelectiveScanArguments *a, ScanPart part, int64_t other,
                       int64_t block) {
    const int64_t matrix = part.sequence * a->parts + other;
    const float *time = a->part_time + matrix * a->cols + part.first_col;
    const float *from = a->part_state + scan_entry(a, matrix, block * BLOCK, part.first_col);
    const float stays = state_crosses(a, part.sequence, other) ? 1.0f : 0.0f;
    TILE_UNROLL for (int n = 0; n < BLOCK; n++) EACH_COLUMN (c) if (c < part.cols) {
        const float decay = stays * exp2_f(time[c] * COLUMN_VALUE(rate, n, c));
        COLUMN_VALUE(h, n, c) = decay * COLUMN_VALUE(h, n, c) + from[n * a->cols + c];
    }
}

/* factors, [ROWS, 2 BLOCK] = the block's columns of B, then those of C, which are tiles [ROWS, STATES]. */
#define fill_factors(factors, B, C, block)                                                                             \
    EACH_PAIR(t_, n_, ROWS, BLOCK) {                                                                                   \
        ENTRY(factors, t_, n_) = AT(B, t_, (block)*BLOCK + n_);                                                        \
        ENTRY(factors, t_, BLOCK + n_) = AT(C, t_, (block)*BLOCK + n_);                                                \
    }

#endif
