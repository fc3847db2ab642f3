/* The backward of selective_scan; equations in selective_scan.h. A thread walks up a column with the gradients of a
 * block of its states in registers. The states are recomputed from the state before the chunk: first the states before
 * every GROUP rows, then, group by group from the last to the first, those before each row. The host's cores have room
 * for a whole chunk at once, and for its decays; a GPU computes the decays again. */
#include "tile/tile.h"
#include "kernels/recurrences/selective_scan/selective_scan_part.h"

enum { KEEPS_DECAYS = !ON_GPU, GROUP = ON_GPU ? 4 : ROWS, GROUPS = ROWS / GROUP };
enum { KEPT_ROWS = KEEPS_DECAYS ? ROWS : GROUPS - 1 };

/* h = e^(t A) h + t x B for a row of the chunk. With `keeps`, stores the h before the row in before_row, and the decay
 * in `kept`. */
#define ADVANCE(h, rate, t, tx, row, c, keeps)                                                                         \
    TILE_UNROLL for (int s_ = 0; s_ < BLOCK; s_ += VECTOR) {                                                           \
        READ_MATRIX(B_, factors, row, s_);                                                                             \
        EACH_LANE(e_) {                                                                                                \
            const float decay_ = exp2_f((t)*COLUMN_VALUE(rate, s_ + e_, c)), h_ = COLUMN_VALUE(h, s_ + e_, c);         \
            if (keeps) ENTRY(before_row, (row) % GROUP * BLOCK + s_ + e_, c) = h_;                                     \
            if ((keeps) && KEEPS_DECAYS) ENTRY(kept, (row)*BLOCK + s_ + e_, c) = decay_;                               \
            COLUMN_VALUE(h, s_ + e_, c) = decay_ * h_ + (tx)*B_[e_];                                                   \
        }                                                                                                              \
    }

/* Store the states of a block to BLOCK rows of a matrix, and load them back. */
#define KEEP_STATES(matrix, row, h)                                                                                    \
    TILE_UNROLL for (int n_ = 0; n_ < BLOCK; n_++) EACH_COLUMN (c_) ENTRY(matrix, (row)*BLOCK + n_, c_) =              \
        COLUMN_VALUE(h, n_, c_)
#define TAKE_STATES(h, matrix, row)                                                                                    \
    TILE_UNROLL for (int n_ = 0; n_ < BLOCK; n_++) EACH_COLUMN (c_) COLUMN_VALUE(h, n_, c_) =                          \
        ENTRY(matrix, (row)*BLOCK + n_, c_)

/* Computes the gradient of the state that the part leaves. */
DEVICE void enter_part_backward(float *dh, const float *rate, const SelectiveScanArguments *a, ScanPart part,
                                int64_t block) {
    load_outer_states(dh, a->dfinal, a->N, a, part, block);
    for (int64_t other = a->parts - 1; other > part.index; other--) cross_part(dh, rate, a, part, other, block);
}

/* Computes the gradient of the state before a part if that of the state after it is 0, and the sum of the part's t. Not
 * for the first part. */
KERNEL(selective_scan_dpart, SelectiveScanArguments) {
    TILE(dy, ROWS, COLS);
    TILE(dt, ROWS, COLS);
    TILE(C, ROWS, STATES);
    MATRIX(factors, ROWS, 2 * BLOCK);
    VECTOR(begins, ROWS);
    COLUMN_VALUES(dh, BLOCK);
    COLUMN_VALUES(rate, BLOCK);
    COLUMN_VALUES(bias, 1);
    COLUMN_VALUES(time, 1);
    const ScanPart part = scan_part(&a, program_x, program_y + 1, program_z);
    fill_bias(bias, &a, part);
    EACH_COLUMN (c) COLUMN_VALUE(time, 0, c) = 0;
    for (int64_t block = 0; block * BLOCK < a.padded; block++) {
        fill_rates(rate, &a, part, block);
        zero_states(dh);
        for (int64_t chunk = part.end_chunk - 1; chunk >= part.first_chunk; chunk--) {
            const int64_t row = part.sequence * a.T + chunk * ROWS;
            const int count = rows_of_chunk(&a, chunk);
            sync();
            tile_load(dy, (const element *)a.dy + row * a.y_stride + part.first_col, a.y_stride, count, part.cols);
            tile_load(dt, (const element *)a.dt + row * a.dt_stride + part.first_col, a.dt_stride, count, part.cols);
            tile_load(C, (const element *)a.C + row * a.C_stride, a.C_stride, count, a.N);
            sync();
            fill_factors(factors, C, C, block);
            fill_begins(begins, &a, part.sequence, chunk, count);
            sync();
            for (int t = count - 1; t >= 0; t--) {
                EACH_COLUMN (c) {
                    const float step = softplus_f(AT(dt, t, c) + COLUMN_VALUE(bias, 0, c)), d = AT(dy, t, c);
                    TILE_UNROLL for (int n = 0; n < BLOCK; n += VECTOR) {
                        READ_MATRIX(C_row, factors, t, BLOCK + n);
                        EACH_LANE(e)
                        COLUMN_VALUE(dh, n + e, c) =
                            exp2_f(step * COLUMN_VALUE(rate, n + e, c)) * (COLUMN_VALUE(dh, n + e, c) + d * C_row[e]);
                    }
                    if (block == 0) COLUMN_VALUE(time, 0, c) += step;
                }
                if (begins[t] != 0) zero_states(dh);
            }
        }
        store_states(dh, a.part_state, &a, part, part.part, block);
    }
    float *to = a.part_time + part.part * a.cols + part.first_col;
    EACH_COLUMN (c)
        if (c < part.cols) to[c] = COLUMN_VALUE(time, 0, c);
}

/* Stores the chunk's sums over the program's columns. */
DEVICE void store_totals(float *partial_BC, const float *totals, const SelectiveScanArguments *a, int64_t columns,
                         int64_t row, int count, int64_t block) {
    float *to = partial_BC + (columns * a->rows + row) * 2 * a->padded + block * COLUMN_TOTALS;
    EACH_PAIR(t, n, ROWS, COLUMN_TOTALS) {
        float sum = 0;
        for (int p = 0; p < COLUMN_PARTS; p++) sum += totals[(t * COLUMN_PARTS + p) * COLUMN_TOTALS + n];
        if (t < count) to[t * 2 * a->padded + n] = sum;
    }
}

/* Stores the part's gradient of A_log; with `add`, adds it to what is there. */
DEVICE void store_rate_gradients(const SelectiveScanArguments *a, const float *dA, const float *rate, ScanPart part,
                                 int64_t block, bool add) {
    float *to = a->partial_A_log + (part.part * a->cols + part.first_col) * a->N + block * BLOCK;
    const int64_t states = a->N - block * BLOCK;
    TILE_UNROLL for (int n = 0; n < BLOCK; n++) EACH_COLUMN (c) if (c < part.cols && n < states) {
        const float d = LN_2 * COLUMN_VALUE(rate, n, c) * COLUMN_VALUE(dA, n, c);
        to[c * a->N + n] = d + (add ? to[c * a->N + n] : 0.0f);
    }
}

/* Computes the gradients; those of B and C as sums over the program's columns. */
KERNEL(selective_scan_backward, SelectiveScanArguments) {
    TILE(x, ROWS, COLS);  /* x, then dx */
    TILE(dt, ROWS, COLS); /* dt, then its gradient */
    TILE(dy, ROWS, COLS);
    TILE(B, ROWS, STATES);
    TILE(C, ROWS, STATES);
    MATRIX(factors, ROWS, 2 * BLOCK);
    MATRIX(time, ROWS, COLS);
    MATRIX(input_sum, ROWS, COLS);         /* u */
    MATRIX(decay_sum, ROWS, COLS);         /* sum over n of A g w, / ln 2 */
    MATRIX(kept, KEPT_ROWS * BLOCK, COLS); /* the states before all groups except the first, or the decays */
    MATRIX(before_row, GROUP * BLOCK, COLS);
    VECTOR(totals, ROWS * COLUMN_PARTS * COLUMN_TOTALS);
    VECTOR(begins, ROWS);
    COLUMN_VALUES(h, BLOCK);
    COLUMN_VALUES(dh, BLOCK);
    COLUMN_VALUES(dA, BLOCK);
    COLUMN_VALUES(rate, BLOCK);
    COLUMN_VALUES(products, 2 * BLOCK); /* of a row; their sums over columns are dB and dC */
    COLUMN_VALUES(bias, 1);
    COLUMN_VALUES(dbias, 1);
    const ScanPart part = scan_part(&a, program_x, program_y, program_z);
    const int64_t blocks = a.padded / BLOCK;
    fill_bias(bias, &a, part);
    EACH_COLUMN (c) COLUMN_VALUE(dbias, 0, c) = 0;
    for (int64_t chunk = part.end_chunk - 1; chunk >= part.first_chunk; chunk--) {
        const int64_t row = part.sequence * a.T + chunk * ROWS;
        const int count = rows_of_chunk(&a, chunk);
        tile_load(x, (const element *)a.x + row * a.x_stride + part.first_col, a.x_stride, count, part.cols);
        tile_load(dt, (const element *)a.dt + row * a.dt_stride + part.first_col, a.dt_stride, count, part.cols);
        tile_load(dy, (const element *)a.dy + row * a.y_stride + part.first_col, a.y_stride, count, part.cols);
        tile_load(B, (const element *)a.B + row * a.B_stride, a.B_stride, count, a.N);
        tile_load(C, (const element *)a.C + row * a.C_stride, a.C_stride, count, a.N);
        fill_begins(begins, &a, part.sequence, chunk, count);
        sync();
        for (int t = 0; t < count; t++)
            EACH_COLUMN (c) {
                ENTRY(time, t, c) = softplus_f(AT(dt, t, c) + COLUMN_VALUE(bias, 0, c));
                ENTRY(input_sum, t, c) = 0;
                ENTRY(decay_sum, t, c) = 0;
            }
        for (int64_t block = 0; block < blocks; block++) {
            const bool last = chunk + 1 == part.end_chunk, first = chunk == part.first_chunk;
            if (blocks > 1 || last) {
                fill_rates(rate, &a, part, block);
                zero_states(dA);
            }
            if (last)
                enter_part_backward(dh, rate, &a, part, block);
            else if (blocks > 1) {
                load_states(dh, a.carried, &a, part, part.part, block);
            }
            fill_factors(factors, B, C, block);
            sync();
            load_states(h, a.state, &a, part, part.sequence * a.chunks + chunk, block);
            for (int t = 0; t < (count - 1) / GROUP * GROUP; t++) {
                if (begins[t] != 0) zero_states(h);
                EACH_COLUMN (c) {
                    const float step = ENTRY(time, t, c), input = step * AT(x, t, c);
                    ADVANCE(h, rate, step, input, t, c, false);
                }
                if ((t + 1) % GROUP == 0) KEEP_STATES(kept, (t + 1) / GROUP - 1, h);
            }
            for (int group = (count - 1) / GROUP; group >= 0; group--) {
                const int start = group * GROUP, end = start + GROUP < count ? start + GROUP : count;
                if (group > 0)
                    TAKE_STATES(h, kept, group - 1);
                else
                    load_states(h, a.state, &a, part, part.sequence * a.chunks + chunk, block);
                for (int t = start; t < end; t++) {
                    if (begins[t] != 0) zero_states(h);
                    if (t + 1 == end && !KEEPS_DECAYS) {
                        KEEP_STATES(before_row, t - start, h);
                        break;
                    }
                    EACH_COLUMN (c) {
                        const float step = ENTRY(time, t, c), input = step * AT(x, t, c);
                        ADVANCE(h, rate, step, input, t, c, true);
                    }
                }
                for (int t = end - 1; t >= start; t--) {
                    EACH_COLUMN (c) {
                        const float step = ENTRY(time, t, c), input = step * AT(x, t, c), d = AT(dy, t, c);
                        float u = 0, s = 0;
                        TILE_UNROLL for (int n = 0; n < BLOCK; n += VECTOR) {
                            READ_MATRIX(B_row, factors, t, n);
                            READ_MATRIX(C_row, factors, t, BLOCK + n);
                            EACH_LANE(e) {
                                const float decay = KEEPS_DECAYS ? ENTRY(kept, t * BLOCK + n + e, c)
                                                                 : exp2_f(step * COLUMN_VALUE(rate, n + e, c));
                                const float w = decay * ENTRY(before_row, (t - start) * BLOCK + n + e, c);
                                const float g = COLUMN_VALUE(dh, n + e, c) + d * C_row[e], gw = g * w;
                                COLUMN_VALUE(products, n + e, c) = g * input;
                                COLUMN_VALUE(products, BLOCK + n + e, c) = d * (w + input * B_row[e]);
                                u += g * B_row[e];
                                s += COLUMN_VALUE(rate, n + e, c) * gw;
                                COLUMN_VALUE(dA, n + e, c) += step * gw;
                                COLUMN_VALUE(dh, n + e, c) = decay * g;
                            }
                        }
                        ENTRY(input_sum, t, c) += u;
                        ENTRY(decay_sum, t, c) += s;
                    }
                    column_totals(totals + t * COLUMN_PARTS * COLUMN_TOTALS, products);
                    if (begins[t] != 0) zero_states(dh);
                }
            }
            sync();
            store_totals(a.partial_BC, totals, &a, program_x, row, count, block);
            if (blocks > 1 && !first) store_states(dh, a.carried, &a, part, part.part, block);
            if (first && part.index == 0 && a.dinitial)
                store_outer_states(dh, a.dinitial, a.initial_stride, &a, part, block);
            if (blocks > 1 || first) store_rate_gradients(&a, dA, rate, part, block, blocks > 1 && !last);
        }
        for (int t = 0; t < count; t++)
            EACH_COLUMN (c) {
                const float value = AT(x, t, c), u = ENTRY(input_sum, t, c);
                const float d =
                    (u * value + LN_2 * ENTRY(decay_sum, t, c)) * sigmoid_f(AT(dt, t, c) + COLUMN_VALUE(bias, 0, c));
                PUT(x, t, c, ENTRY(time, t, c) * u);
                PUT(dt, t, c, d);
                COLUMN_VALUE(dbias, 0, c) += d;
            }
        sync();
        tile_store(x, (element *)a.dx + row * a.x_stride + part.first_col, a.x_stride, count, part.cols);
        tile_store(dt, (element *)a.ddt + row * a.dt_stride + part.first_col, a.dt_stride, count, part.cols);
        sync();
    }
    float *to = a.partial_dt_bias + part.part * a.cols + part.first_col;
    EACH_COLUMN (c)
        if (c < part.cols) to[c] = COLUMN_VALUE(dbias, 0, c);
}

/* Computes dB and dC of a row, as sums over the blocks of columns. Program: a row. */
KERNEL(selective_scan_sums, SelectiveScanArguments) {
    element *dB = (element *)a.dB + program_x * a.B_stride, *dC = (element *)a.dC + program_x * a.C_stride;
    const int64_t width = 2 * a.padded, blocks = blocks_of(a.cols, COLS);
    EACH (i, width) {
        const int64_t state = i / (2 * BLOCK) * BLOCK + i % BLOCK;
        float sum = 0;
        for (int64_t block = 0; block < blocks; block++) sum += a.partial_BC[(block * a.rows + program_x) * width + i];
        if (state < a.N) {
            if (i / BLOCK % 2)
                dC[state] = to_element(sum);
            else
                dB[state] = to_element(sum);
        }
    }
}
