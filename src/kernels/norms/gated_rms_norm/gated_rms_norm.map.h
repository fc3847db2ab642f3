/* Root-mean-square norm, then a gate; equations in gated_rms_norm.h. Statistics are fp32. Groups are inlined with a
 * constant `sigmoid`, so the loops have no branches. */
#define TILE_PROGRAMS 6
#include "tile/tile.h"
#include "kernels/norms/gated_rms_norm/gated_rms_norm.h"
#include "tile/rows.h"

DEVICE float gate_value(float x, bool sigmoid) { return sigmoid ? sigmoid_f(x) : silu_f(x); }

DEVICE float gate_derivative(float x, bool sigmoid) { return sigmoid ? sigmoid_derivative_f(x) : silu_derivative_f(x); }

DEVICE void gated_rms_norm_rows(HELD_MODE, const GatedRmsNormArguments a, int64_t first, int64_t end, bool sigmoid) {
    const element *weight = (const element *)a.weight;
    EACH_HELD_GROUP(row, group, first, end, a.groups, a.cols) {
        const element *x = (const element *)a.x + row * a.x_stride + group * a.cols;
        const element *gate = (const element *)a.gate + row * a.gate_stride + group * a.cols;
        element *y = (element *)a.y + row * a.y_stride + group * a.cols;
        HELD(x_held);
        HELD(gate_held);
        float square = 0;
        HOLD_VECTOR(i, a.cols, square) {
            READ_HOLD(value, x_held, x + i);
            HOLD(gate_held, gate + i);
            EACH_LANE(e) square += value[e] * value[e];
        }
        WARP_TOTAL(square);
        const float rstd = reciprocal_root_f(divide_f(square, (float)a.cols) + a.eps);
        HELD_VECTOR(i, a.cols) {
            READ_HELD(value, x_held, x + i);
            READ_HELD(z, gate_held, gate + i);
            READ(w, weight + i);
            EACH_LANE(e) value[e] = w[e] * (value[e] * rstd) * gate_value(z[e], sigmoid);
            WRITE(y + i, value);
        }
        WARP_EACH(one, 1) a.rstd[row * a.groups + group] = rstd;
    }
}

KERNEL(gated_rms_norm, GatedRmsNormArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    VECTORS_OF(a.weight, a.x, a.gate, a.y, a.x_stride * sizeof(element), a.gate_stride * sizeof(element),
               a.y_stride * sizeof(element));
    if (a.sigmoid)
        HELD_ROWS(a.cols, 4, gated_rms_norm_rows(HELD_HERE, a, first, end, true));
    else
        HELD_ROWS(a.cols, 4, gated_rms_norm_rows(HELD_HERE, a, first, end, false));
}

/* The columns [from, from + count) of each group of some rows. Backward computes their dx and dgate, and adds dweight
 * to `sums`. */
typedef struct GatedRmsNormPart {
    int64_t first_row, end_row, from, count;
} GatedRmsNormPart;

DEVICE void gated_rms_norm_backward_part(HELD_MODE, const GatedRmsNormBackwardArguments a, const GatedRmsNormPart part,
                                         float *sums, bool sigmoid) {
    const element *weight = (const element *)a.weight;
    EACH_HELD_GROUP(row, group, part.first_row, part.end_row, a.groups, a.cols) {
        const element *x = (const element *)a.x + row * a.x_stride + group * a.cols;
        const element *gate = (const element *)a.gate + row * a.gate_stride + group * a.cols;
        const element *y = (const element *)a.y + row * a.y_stride + group * a.cols;
        const element *dy = (const element *)a.dy + row * a.y_stride + group * a.cols;
        element *dx = (element *)a.dx + row * a.x_stride + group * a.cols;
        element *dgate = (element *)a.dgate + row * a.gate_stride + group * a.cols;
        const float rstd = a.rstd[row * a.groups + group];
        HELD(dy_held);
        HELD(x_held);
        HELD(gate_held);
        float dot = 0; /* the sum of e n, which is that of dy y */
        HOLD_VECTOR(i, a.cols, dot) {
            READ_HOLD(d, dy_held, dy + i);
            READ(value, y + i);
            HOLD(x_held, x + i);
            HOLD(gate_held, gate + i);
            EACH_LANE(e) dot += d[e] * value[e];
        }
        WARP_TOTAL(dot);
        const float mean = divide_f(dot, (float)a.cols);
        HELD_VECTOR(i, part.count) {
            const int64_t at = part.from + i;
            READ(w, weight + at);
            READ_HELD(z, gate_held, gate + at);
            READ_HELD(d, dy_held, dy + at);
            READ_HELD(value, x_held, x + at);
            READ_COLUMNS(sum, sums, i);
            float dz[VECTOR];
            EACH_LANE(e) {
                const float n = value[e] * rstd, gated = d[e] * gate_value(z[e], sigmoid);
                sum[e] += gated * n;
                dz[e] = d[e] * w[e] * n * gate_derivative(z[e], sigmoid);
                value[e] = rstd * (w[e] * gated - n * mean);
            }
            WRITE_COLUMNS(sums, i, sum);
            WRITE(dgate + at, dz);
            WRITE(dx + at, value);
        }
    }
}

/* Programs: x over rows; y over columns of the groups. */
KERNEL(gated_rms_norm_backward, GatedRmsNormBackwardArguments) {
    COLUMNS(sums, 1, WARP_COLS);
    const int64_t first = program_x * a.rows_per_program, from = program_y * PROGRAM_COLS, left = a.cols - from;
    const GatedRmsNormPart part = {.first_row = first,
                                   .end_row = end_of_program(first, a.rows, a.rows_per_program),
                                   .from = from,
                                   .count = left < PROGRAM_COLS ? left : PROGRAM_COLS};
    columns_zero(sums, WARP_COLS, part.count);
    VECTORS_OF(a.weight, a.x, a.gate, a.y, a.dy, a.dx, a.dgate, a.x_stride * sizeof(element),
               a.gate_stride * sizeof(element), a.y_stride * sizeof(element));
    if (a.sigmoid)
        HELD_ROWS(a.cols, 2, gated_rms_norm_backward_part(HELD_HERE, a, part, sums, true));
    else
        HELD_ROWS(a.cols, 2, gated_rms_norm_backward_part(HELD_HERE, a, part, sums, false));
    sync();
    float *partial = a.partial + program_x * a.cols + from;
    EACH_VECTOR(i, part.count) {
        READ_TOTALS(total, sums, i, a.cols);
        WRITE_F32(partial + i, total);
    }
}
