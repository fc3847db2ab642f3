/* The forward of selective_scan; equations in selective_scan.h. A thread walks down a column with a block of its states
 * in registers. */
#include "tile/tile.h"
#include "kernels/recurrences/selective_scan/selective_scan_part.h"

/* h = e^(t A) h + t x B for a row, and y = the sum over n of C h. The row's B and C are in row `row` of `factors`. */
#define ADVANCE(y, h, rate, t, tx, factors, row, c)                                                                    \
    float y = 0;                                                                                                       \
    TILE_UNROLL for (int s_ = 0; s_ < BLOCK; s_ += VECTOR) {                                                           \
        READ_MATRIX(B_, factors, row, s_);                                                                             \
        READ_MATRIX(C_, factors, row, BLOCK + s_);                                                                     \
        EACH_LANE(e_) {                                                                                                \
            const float decay_ = exp2_f((t)*COLUMN_VALUE(rate, s_ + e_, c));                                           \
            const float h_ = decay_ * COLUMN_VALUE(h, s_ + e_, c) + (tx)*B_[e_];                                       \
            COLUMN_VALUE(h, s_ + e_, c) = h_;                                                                          \
            y += C_[e_] * h_;                                                                                          \
        }                                                                                                              \
    }

/* Computes the state before the part. */
DEVICE void enter_part(float *h, const float *rate, const SelectiveScanArguments *a, ScanPart part, int64_t block) {
    load_outer_states(h, a->initial, a->initial_stride, a, part, block);
    for (int64_t other = 0; other < part.index; other++) cross_part(h, rate, a, part, other, block);
}

/* Starts to load the chunk's rows of x, dt, B and C to one of two stages. */
#define LOAD_CHUNK(a, part, chunk)                                                                                     \
    do {                                                                                                               \
        const int64_t row_ = (part).sequence * (a).T + (chunk)*ROWS, count_ = rows_of_chunk(&(a), chunk);              \
        const int stage_ = (int)((chunk) % 2) * ROWS;                                                                  \
        TILE_VIEW(x_, x, stage_, 0, ROWS, COLS);                                                                       \
        TILE_VIEW(dt_, dt, stage_, 0, ROWS, COLS);                                                                     \
        TILE_VIEW(B_, B, stage_, 0, ROWS, STATES);                                                                     \
        TILE_VIEW(C_, C, stage_, 0, ROWS, STATES);                                                                     \
        tile_load(x_, (const element *)(a).x + row_ * (a).x_stride + (part).first_col, (a).x_stride, count_,           \
                  (part).cols);                                                                                        \
        tile_load(dt_, (const element *)(a).dt + row_ * (a).dt_stride + (part).first_col, (a).dt_stride, count_,       \
                  (part).cols);                                                                                        \
        tile_load(B_, (const element *)(a).B + row_ * (a).B_stride, (a).B_stride, count_, (a).N);                      \
        tile_load(C_, (const element *)(a).C + row_ * (a).C_stride, (a).C_stride, count_, (a).N);                      \
        copy_commit();                                                                                                 \
    } while (0)

/* Computes the state that a part leaves if it begins with 0, and the sum of its t. Not for the last part. */
KERNEL(selective_scan_part, SelectiveScanArguments) {
    TILE(x, 2 * ROWS, COLS);
    TILE(dt, 2 * ROWS, COLS);
    TILE(B, 2 * ROWS, STATES);
    TILE(C, 2 * ROWS, STATES);
    MATRIX(factors, ROWS, 2 * BLOCK);
    VECTOR(begins, ROWS);
    COLUMN_VALUES(h, BLOCK);
    COLUMN_VALUES(rate, BLOCK);
    COLUMN_VALUES(bias, 1);
    COLUMN_VALUES(time, 1);
    const ScanPart part = scan_part(&a, program_x, program_y, program_z);
    fill_bias(bias, &a, part);
    EACH_COLUMN (c) COLUMN_VALUE(time, 0, c) = 0;
    for (int64_t block = 0; block * BLOCK < a.padded; block++) {
        fill_rates(rate, &a, part, block);
        zero_states(h);
        LOAD_CHUNK(a, part, part.first_chunk);
        for (int64_t chunk = part.first_chunk; chunk < part.end_chunk; chunk++) {
            const int stage = (int)(chunk % 2) * ROWS, count = rows_of_chunk(&a, chunk);
            TILE_VIEW(B_now, B, stage, 0, ROWS, STATES);
            TILE_VIEW(C_now, C, stage, 0, ROWS, STATES);
            sync();
            if (chunk + 1 < part.end_chunk) LOAD_CHUNK(a, part, chunk + 1);
            fill_factors(factors, B_now, C_now, block);
            fill_begins(begins, &a, part.sequence, chunk, count);
            sync_after(1);
            for (int t = 0; t < count; t++) {
                if (begins[t] != 0) zero_states(h);
                EACH_COLUMN (c) {
                    const float step = softplus_f(AT(dt, stage + t, c) + COLUMN_VALUE(bias, 0, c));
                    ADVANCE(unused, h, rate, step, step * AT(x, stage + t, c), factors, t, c);
                    (void)unused;
                    if (block == 0) COLUMN_VALUE(time, 0, c) += step;
                }
            }
        }
        store_states(h, a.part_state, &a, part, part.part, block);
        sync();
    }
    float *to = a.part_time + part.part * a.cols + part.first_col;
    EACH_COLUMN (c)
        if (c < part.cols) to[c] = COLUMN_VALUE(time, 0, c);
}

/* Computes y, the states before the chunks, and the final state. */
KERNEL(selective_scan, SelectiveScanArguments) {
    TILE(x, 2 * ROWS, COLS);
    TILE(dt, 2 * ROWS, COLS);
    TILE(B, 2 * ROWS, STATES);
    TILE(C, 2 * ROWS, STATES);
    MATRIX(factors, ROWS, 2 * BLOCK);
    MATRIX(sums, ROWS, COLS); /* sums of y over the blocks of states so far */
    VECTOR(begins, ROWS);
    COLUMN_VALUES(h, BLOCK);
    COLUMN_VALUES(rate, BLOCK);
    COLUMN_VALUES(bias, 1);
    const ScanPart part = scan_part(&a, program_x, program_y, program_z);
    const int64_t blocks = a.padded / BLOCK;
    fill_bias(bias, &a, part);
    for (int64_t block = blocks - 1; block >= 0; block--) {
        fill_rates(rate, &a, part, block);
        enter_part(h, rate, &a, part, block);
        store_states(h, a.state, &a, part, part.sequence * a.chunks + part.first_chunk, block);
    }
    LOAD_CHUNK(a, part, part.first_chunk);
    for (int64_t chunk = part.first_chunk; chunk < part.end_chunk; chunk++) {
        const int stage = (int)(chunk % 2) * ROWS, count = rows_of_chunk(&a, chunk);
        const int64_t row = part.sequence * a.T + chunk * ROWS, index = part.sequence * a.chunks + chunk;
        element *y = (element *)a.y + row * a.y_stride + part.first_col;
        TILE_VIEW(B_now, B, stage, 0, ROWS, STATES);
        TILE_VIEW(C_now, C, stage, 0, ROWS, STATES);
        sync();
        if (chunk + 1 < part.end_chunk) LOAD_CHUNK(a, part, chunk + 1);
        fill_begins(begins, &a, part.sequence, chunk, count);
        for (int64_t block = 0; block < blocks; block++) {
            if (blocks > 1) {
                fill_rates(rate, &a, part, block);
                load_states(h, a.state, &a, part, index, block);
            }
            fill_factors(factors, B_now, C_now, block);
            sync_after(1);
            for (int t = 0; t < count; t++) {
                if (begins[t] != 0) zero_states(h);
                EACH_COLUMN (c) {
                    const float step = softplus_f(AT(dt, stage + t, c) + COLUMN_VALUE(bias, 0, c));
                    ADVANCE(sum, h, rate, step, step * AT(x, stage + t, c), factors, t, c);
                    ENTRY(sums, t, c) = sum + (block ? ENTRY(sums, t, c) : 0.0f);
                    if (block + 1 == blocks && c < part.cols) y[t * a.y_stride + c] = to_element(ENTRY(sums, t, c));
                }
            }
            if (chunk + 1 < part.end_chunk)
                store_states(h, a.state, &a, part, index + 1, block);
            else if (chunk + 1 == a.chunks && a.final)
                store_outer_states(h, a.final, a.N, &a, part, block);
            if (blocks > 1) sync_after(1);
        }
    }
}
