/* Root-mean-square norm with optional residual (arXiv 1910.07467); equations in rms_norm.h. Statistics are fp32. */
#define TILE_PROGRAMS 4
#include "tile/tile.h"
#include "kernels/norms/rms_norm/rms_norm.h"
#include "tile/rows.h"

/* Inlined with constants for has_residual, has_gate and has_sum, so the loops have no branches. */
DEVICE void rms_norm_rows(HELD_MODE, const RmsNormArguments a, int64_t first, int64_t end, bool has_residual,
                          bool has_gate, bool has_sum) {
    EACH_HELD_GROUP(row, group, first, end, a.groups, a.cols) {
        const int64_t column = group * a.cols;
        const element *weight = (const element *)a.weight + (a.weight_groups > 1 ? column : 0);
        const element *x = (const element *)a.x + row * a.x_stride + column;
        const element *residual = (const element *)a.residual + (has_residual ? row * a.residual_stride + column : 0);
        const element *gate = (const element *)a.gate + (has_gate ? row * a.gate_stride + column : 0);
        element *y = (element *)a.y + row * a.y_stride + column;
        element *sum = (element *)a.sum + (has_sum ? row * a.sum_stride + column : 0);
        HELD(x_held);
        HELD(residual_held); /* or the gate */
        float square = 0;
        HOLD_VECTOR(i, a.cols, square) {
            READ_HOLD(s, x_held, x + i);
            if (has_residual) {
                READ_HOLD(r, residual_held, residual + i);
                EACH_LANE(e) s[e] += r[e];
            }
            if (has_gate) {
                READ_HOLD(z, residual_held, gate + i);
                EACH_LANE(e) s[e] *= silu_f(z[e]);
            }
            EACH_LANE(e) square += s[e] * s[e];
        }
        WARP_TOTAL(square);
        const float rstd = reciprocal_root_f(divide_f(square, (float)a.cols) + a.eps);
        HELD_VECTOR(i, a.cols) {
            READ_HELD(s, x_held, x + i);
            if (has_residual) {
                READ_HELD(r, residual_held, residual + i);
                EACH_LANE(e) s[e] += r[e];
            }
            if (has_gate) {
                READ_HELD(z, residual_held, gate + i);
                EACH_LANE(e) s[e] *= silu_f(z[e]);
            }
            READ(w, weight + i);
            if (has_sum) WRITE(sum + i, s);
            EACH_LANE(e) s[e] = w[e] * (s[e] * rstd);
            WRITE(y + i, s);
        }
        WARP_EACH(one, 1) a.rstd[row * a.groups + group] = rstd;
    }
}

KERNEL(rms_norm, RmsNormArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    VECTORS_OF(a.weight, a.x, a.residual, a.gate, a.y, a.sum, a.x_stride * sizeof(element),
               a.residual_stride * sizeof(element), a.gate_stride * sizeof(element), a.y_stride * sizeof(element),
               a.sum_stride * sizeof(element));
    if (a.sum)
        HELD_ROWS(a.cols, 8, rms_norm_rows(HELD_HERE, a, first, end, true, false, true));
    else if (a.residual)
        HELD_ROWS(a.cols, 8, rms_norm_rows(HELD_HERE, a, first, end, true, false, false));
    else if (a.gate)
        HELD_ROWS(a.cols, 8, rms_norm_rows(HELD_HERE, a, first, end, false, true, false));
    else
        HELD_ROWS(a.cols, 8, rms_norm_rows(HELD_HERE, a, first, end, false, false, false));
}
