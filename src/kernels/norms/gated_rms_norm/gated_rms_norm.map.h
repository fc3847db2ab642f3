/* Root-mean-square norm, then a gate; equations in gated_rms_norm.h. Statistics are fp32. `sigmoid` is a constant where
 * the groups are inlined, so the loops have no branches. */
#include "tile/tile.h"
#include "kernels/norms/gated_rms_norm/gated_rms_norm.h"
#include "tile/rows.h"

DEVICE float gate_value(float x, bool sigmoid) { return sigmoid ? sigmoid_f(x) : silu_f(x); }

DEVICE float gate_derivative(float x, bool sigmoid) { return sigmoid ? sigmoid_derivative_f(x) : silu_derivative_f(x); }

DEVICE void gated_rms_norm_rows(const GatedRmsNormArguments a, int64_t first, int64_t end, bool sigmoid) {
    const element *weight = (const element *)a.weight;
    EACH_GROUP (row, group, first, end, a.groups, a.cols) {
        const element *x = (const element *)a.x + row * a.x_stride + group * a.cols;
        const element *gate = (const element *)a.gate + row * a.gate_stride + group * a.cols;
        element *y = (element *)a.y + row * a.y_stride + group * a.cols;
        VECTORS_OF(weight, x, gate, y);
        float square = 0;
        WARP_SUM_VECTOR(i, a.cols, square) {
            READ(value, x + i);
            EACH_LANE(e) square += value[e] * value[e];
        }
        WARP_TOTAL(square);
        const float rstd = 1.0f / sqrtf(square / (float)a.cols + a.eps);
        WARP_EACH(one, 1) a.rstd[row * a.groups + group] = rstd;
        WARP_VECTOR(i, a.cols) {
            READ(value, x + i);
            READ(z, gate + i);
            READ(w, weight + i);
            EACH_LANE(e) value[e] = w[e] * (value[e] * rstd) * gate_value(z[e], sigmoid);
            WRITE(y + i, value);
        }
    }
}

KERNEL(gated_rms_norm, GatedRmsNormArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    if (a.sigmoid)
        gated_rms_norm_rows(a, first, end, true);
    else
        gated_rms_norm_rows(a, first, end, false);
}

/* Of the columns [from, from + count) of each group: dx, dgate, and dweight added to `sums`. */
typedef struct GatedRmsNormPart {
    int64_t first_row, end_row, from, count;
} GatedRmsNormPart;

DEVICE void gated_rms_norm_backward_part(const GatedRmsNormBackwardArguments a, const GatedRmsNormPart part,
                                         float *sums, bool sigmoid) {
    const element *weight = (const element *)a.weight;
    EACH_GROUP (row, group, part.first_row, part.end_row, a.groups, a.cols) {
        const element *x = (const element *)a.x + row * a.x_stride + group * a.cols;
        const element *gate = (const element *)a.gate + row * a.gate_stride + group * a.cols;
        const element *y = (const element *)a.y + row * a.y_stride + group * a.cols;
        const element *dy = (const element *)a.dy + row * a.y_stride + group * a.cols;
        element *dx = (element *)a.dx + row * a.x_stride + group * a.cols;
        element *dgate = (element *)a.dgate + row * a.gate_stride + group * a.cols;
        const float rstd = a.rstd[row * a.groups + group];
        VECTORS_OF(weight, x, gate, y, dy, dx, dgate);
        float dot = 0; /* e . n, with less work */
        WARP_SUM_VECTOR(i, a.cols, dot) {
            READ(d, dy + i);
            READ(value, y + i);
            EACH_LANE(e) dot += d[e] * value[e];
        }
        WARP_TOTAL(dot);
        const float mean = dot / (float)a.cols;
        WARP_VECTOR(i, part.count) {
            const int64_t at = part.from + i;
            READ(w, weight + at);
            READ(z, gate + at);
            READ(d, dy + at);
            READ(value, x + at);
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
    if (a.sigmoid)
        gated_rms_norm_backward_part(a, part, sums, true);
    else
        gated_rms_norm_backward_part(a, part, sums, false);
    sync();
    float *partial = a.partial + program_x * a.cols + from;
    EACH_VECTOR(i, part.count) {
        READ_TOTALS(total, sums, i, a.cols);
        WRITE_F32(partial + i, total);
    }
}
