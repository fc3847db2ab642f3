/* Layer norm with optional residual (arXiv 1607.06450) and group norm (arXiv 1803.08494); equations in layer_norm.h.
 * Statistics are fp32. The variance is computed from the differences from the mean: computed from the mean of the
 * squares, it would lose all digits if the mean is far from 0. */
#define TILE_PROGRAMS 3 /* rows of 2048 columns and their residual are held in 168 registers */
#include "tile/tile.h"
#include "kernels/norms/layer_norm/layer_norm.h"
#include "tile/rows.h"

/* Declares s = x + residual, one VECTOR. READ_HELD_SUM does so with READ_HOLD or READ_HELD. */
#define READ_SUM(s, x, residual)                                                                                       \
    READ(s, x);                                                                                                        \
    if (has_residual) {                                                                                                \
        READ(r_, residual);                                                                                            \
        EACH_LANE(e) s[e] += r_[e];                                                                                    \
    }
#define READ_HELD_SUM(word, s, x, residual)                                                                            \
    word(s, x_held, x);                                                                                                \
    if (has_residual) {                                                                                                \
        word(r_, residual_held, residual);                                                                             \
        EACH_LANE(e) s[e] += r_[e];                                                                                    \
    }

/* Inlined with constants for has_residual and has_sum, so the loops have no branches. */
DEVICE void layer_norm_rows(HELD_MODE, const LayerNormArguments a, int64_t first, int64_t end, bool has_residual,
                            bool has_sum) {
    EACH_HELD_GROUP(row, group, first, end, a.groups, a.cols) {
        const int64_t column = group * a.cols;
        const element *weight = (const element *)a.weight + group * a.group_weights;
        const element *bias = (const element *)a.bias + group * a.group_weights;
        const element *x = (const element *)a.x + row * a.x_stride + column;
        const element *residual = (const element *)a.residual + (has_residual ? row * a.residual_stride + column : 0);
        element *y = (element *)a.y + row * a.y_stride + column;
        element *sum = (element *)a.sum + (has_sum ? row * a.sum_stride + column : 0);
        HELD(x_held);
        HELD(residual_held);
        float total = 0, square = 0;
        HOLD_VECTOR(i, a.cols, total) {
            READ_HELD_SUM(READ_HOLD, s, x + i, residual + i);
            EACH_LANE(e) total += s[e];
        }
        WARP_TOTAL(total);
        const float mean = divide_f(total, (float)a.cols);
        HOLD_VECTOR(i, a.cols, square) {
            READ_HELD_SUM(READ_HELD, s, x + i, residual + i);
            EACH_LANE(e) {
                const float centred = LANE_INSIDE(e) ? s[e] - mean : 0.0f;
                square += centred * centred;
            }
        }
        WARP_TOTAL(square);
        const float rstd = reciprocal_root_f(divide_f(square, (float)a.cols) + a.eps);
        HELD_VECTOR(i, a.cols) {
            READ_HELD_SUM(READ_HELD, s, x + i, residual + i);
            READ(w, weight + i);
            READ(b, bias + i);
            if (has_sum) WRITE(sum + i, s);
            EACH_LANE(e) s[e] = (w[e] + a.offset) * ((s[e] - mean) * rstd) + b[e];
            WRITE(y + i, s);
        }
        WARP_EACH(one, 1) {
            a.mean[row * a.groups + group] = mean;
            a.rstd[row * a.groups + group] = rstd;
        }
    }
}

KERNEL(layer_norm, LayerNormArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    VECTORS_OF(a.weight, a.bias, a.x, a.residual, a.y, a.sum, a.x_stride * sizeof(element),
               a.residual_stride * sizeof(element), a.y_stride * sizeof(element), a.sum_stride * sizeof(element));
    if (a.sum)
        HELD_ROWS(a.cols, 8, layer_norm_rows(HELD_HERE, a, first, end, true, true));
    else if (a.residual)
        HELD_ROWS(a.cols, 8, layer_norm_rows(HELD_HERE, a, first, end, true, false));
    else
        HELD_ROWS(a.cols, 8, layer_norm_rows(HELD_HERE, a, first, end, false, false));
}

#undef TILE_PROGRAMS
#define TILE_PROGRAMS 4

/* The columns [from, from + count) of some groups of some rows. */
typedef struct LayerNormPart {
    int64_t first_row, end_row, first_group, groups, from, count;
} LayerNormPart;

/* Computes ds, and the sums of dy n and dy. A program with several groups has their sums side by side. */
DEVICE void layer_norm_backward_part(const LayerNormBackwardArguments a, const LayerNormPart part, float *dweights,
                                     float *dbiases, bool has_residual, bool has_dsum) {
    EACH_GROUP (row, group, part.first_row, part.end_row, part.groups, a.cols) {
        const int64_t column = (part.first_group + group) * a.cols, beside = ON_GPU ? 0 : group * a.cols;
        const element *weight = (const element *)a.weight + (part.first_group + group) * a.group_weights;
        const element *x = (const element *)a.x + row * a.x_stride + column;
        const element *residual = (const element *)a.residual + (has_residual ? row * a.residual_stride + column : 0);
        const element *dy = (const element *)a.dy + row * a.dy_stride + column;
        const element *dsum = (const element *)a.dsum + (has_dsum ? row * a.dsum_stride + column : 0);
        element *ds = (element *)a.ds + row * a.ds_stride + column;
        const float mean = a.mean[row * a.groups + part.first_group + group];
        const float rstd = a.rstd[row * a.groups + part.first_group + group];
        VECTORS_OF(weight, x, residual, dy, dsum, ds);
        float total = 0, dot = 0;
        WARP_SUM_VECTOR(i, a.cols, total, dot) {
            READ_SUM(s, x + i, residual + i);
            READ(d, dy + i);
            READ(w, weight + i);
            EACH_LANE(e) {
                const float weighted = (w[e] + a.offset) * d[e];
                total += weighted;
                dot += weighted * ((s[e] - mean) * rstd);
            }
        }
        WARP_TOTAL(total);
        WARP_TOTAL(dot);
        const float mean_e = divide_f(total, (float)a.cols), mean_en = divide_f(dot, (float)a.cols);
        WARP_VECTOR(i, part.count) {
            const int64_t at = part.from + i;
            READ_SUM(s, x + at, residual + at);
            READ(d, dy + at);
            READ(w, weight + at);
            ADD_COLUMNS(dbiases + beside, i, d);
            float dweight[VECTOR];
            EACH_LANE(e) {
                const float n = (s[e] - mean) * rstd;
                dweight[e] = d[e] * n;
                d[e] = rstd * ((w[e] + a.offset) * d[e] - mean_e - n * mean_en);
            }
            ADD_COLUMNS(dweights + beside, i, dweight);
            if (has_dsum) {
                READ(after, dsum + at);
                EACH_LANE(e) d[e] += after[e];
            }
            WRITE(ds + at, d);
        }
    }
}

/* The part of a program. Programs: x over rows; y over groups, groups_per_program at a time, and their columns. */
DEVICE LayerNormPart part_of_program(const LayerNormBackwardArguments a, int64_t program_x, int64_t program_y) {
    const int64_t blocks = blocks_of(a.cols, PROGRAM_COLS), first = program_x * a.rows_per_program;
    const int64_t first_group = program_y / blocks * a.groups_per_program, from = program_y % blocks * PROGRAM_COLS;
    const int64_t left = a.cols - from;
    const LayerNormPart part = {.first_row = first,
                                .end_row = end_of_program(first, a.rows, a.rows_per_program),
                                .first_group = first_group,
                                .groups = end_of_program(first_group, a.groups, a.groups_per_program) - first_group,
                                .from = from,
                                .count = left < PROGRAM_COLS ? left : PROGRAM_COLS};
    return part;
}

DEVICE void layer_norm_backward_sums(const LayerNormBackwardArguments a, const LayerNormPart part, float *dweights,
                                     float *dbiases) {
    if (a.residual)
        layer_norm_backward_part(a, part, dweights, dbiases, true, a.dsum != NULL);
    else if (a.dsum)
        layer_norm_backward_part(a, part, dweights, dbiases, false, true);
    else
        layer_norm_backward_part(a, part, dweights, dbiases, false, false);
}

/* Writes the program's row of partial sums. */
DEVICE void write_partial(const LayerNormBackwardArguments a, const LayerNormPart part, int64_t program_x,
                          float *dweights, float *dbiases) {
    const bool shared = a.group_weights == 0;
    const int64_t columns = (part.groups - 1) * a.cols + part.count, all = shared ? a.cols : a.groups * a.cols;
    const int64_t before = (2 * program_x * a.groups + (shared ? 2 : 1) * part.first_group) * a.cols;
    float *dweight = a.partial + before + part.from, *dbias = dweight + all;
    VECTORS_OF(dweight, dbias);
    EACH_VECTOR(i, columns) {
        READ_TOTALS(weights, dweights, i, a.cols);
        READ_TOTALS(biases, dbiases, i, a.cols);
        WRITE_F32(dweight + i, weights);
        WRITE_F32(dbias + i, biases);
    }
}

#define LAYER_NORM_BACKWARD(most_cols)                                                                                 \
    COLUMNS(sums, 2, most_cols);                                                                                       \
    float *const dbiases = COLUMNS_ROW(sums, most_cols, 1);                                                            \
    const LayerNormPart part = part_of_program(a, program_x, program_y);                                               \
    columns_zero(sums, most_cols, (part.groups - 1) * a.cols + part.count);                                            \
    columns_zero(dbiases, most_cols, (part.groups - 1) * a.cols + part.count);                                         \
    layer_norm_backward_sums(a, part, sums, dbiases);                                                                  \
    sync();                                                                                                            \
    write_partial(a, part, program_x, sums, dbiases)

KERNEL(layer_norm_backward, LayerNormBackwardArguments) { LAYER_NORM_BACKWARD(LAYER_NORM_COLS); }

KERNEL(layer_norm_backward_wide, LayerNormBackwardArguments) { LAYER_NORM_BACKWARD(WARP_COLS); }
