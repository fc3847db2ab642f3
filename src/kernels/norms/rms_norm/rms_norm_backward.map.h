/* The gradients of rms_norm; equations in rms_norm.h. A row that would give each lane of a warp more than four vectors
 * has the whole program, which then holds it. */
#define TILE_PROGRAMS  4
#define TILE_TEAM_COLS 1024
#include "tile/tile.h"
#include "kernels/norms/rms_norm/rms_norm.h"
#include "tile/rows.h"

/* s += residual, one VECTOR. */
#define ADD_RESIDUAL(s, residual, has_residual)                                                                        \
    if (has_residual) {                                                                                                \
        READ(r_, residual);                                                                                            \
        EACH_LANE(e) s[e] += r_[e];                                                                                    \
    }

/* The columns [from, from + count) of some groups of some rows. Backward computes ds or, with a gate, dx and dgate, and
 * the sums of dy n. */
typedef struct RmsNormPart {
    int64_t first_row, end_row, first_group, groups, from, count;
} RmsNormPart;

DEVICE void rms_norm_backward_part(HELD_MODE, const RmsNormBackwardArguments a, const RmsNormPart part, float *sums,
                                   bool has_residual, bool has_gate, bool has_dsum) {
    EACH_HELD_GROUP(row, group, part.first_row, part.end_row, part.groups, a.cols) {
        const int64_t column = (part.first_group + group) * a.cols;
        const element *weight = (const element *)a.weight + (a.weight_groups > 1 ? column : 0);
        const element *x = (const element *)a.x + row * a.x_stride + column;
        const element *residual = (const element *)a.residual + (has_residual ? row * a.residual_stride + column : 0);
        const element *gate = (const element *)a.gate + (has_gate ? row * a.gate_stride + column : 0);
        const element *dy = (const element *)a.dy + row * a.dy_stride + column;
        const element *dsum = (const element *)a.dsum + (has_dsum ? row * a.dsum_stride + column : 0);
        element *ds = (element *)a.ds + row * a.ds_stride + column;
        element *dgate = (element *)a.dgate + (has_gate ? row * a.gate_stride + column : 0);
        const float rstd = a.rstd[row * a.groups + part.first_group + group];
        HELD(x_held);
        HELD(dy_held);
        HELD(gate_held);
        float dot = 0;
        HOLD_VECTOR(i, a.cols, dot) {
            READ_HOLD(s, x_held, x + i);
            READ_HOLD(d, dy_held, dy + i);
            READ(w, weight + i);
            ADD_RESIDUAL(s, residual + i, has_residual);
            if (has_gate) {
                READ_HOLD(z, gate_held, gate + i);
                EACH_LANE(e) s[e] *= silu_f(z[e]);
            }
            EACH_LANE(e) dot += w[e] * d[e] * (s[e] * rstd);
        }
        WARP_TOTAL(dot);
        const float mean = divide_f(dot, (float)a.cols);
        HELD_VECTOR(i, part.count) {
            const int64_t at = part.from + i;
            READ_HELD(s, x_held, x + at);
            READ_HELD(d, dy_held, dy + at);
            READ(w, weight + at);
            ADD_RESIDUAL(s, residual + at, has_residual);
            float dweight[VECTOR];
            if (has_gate) {
                READ_HELD(z, gate_held, gate + at);
                EACH_LANE(e) {
                    const float gated = silu_f(z[e]), n = s[e] * gated * rstd;
                    const float inner = rstd * (w[e] * d[e] - n * mean);
                    dweight[e] = d[e] * n;
                    d[e] = inner * gated;
                    z[e] = inner * s[e] * silu_derivative_f(z[e]);
                }
                WRITE(dgate + at, z);
            } else {
                EACH_LANE(e) {
                    const float n = s[e] * rstd;
                    dweight[e] = d[e] * n;
                    d[e] = rstd * (w[e] * d[e] - n * mean);
                }
            }
            if (has_dsum) {
                READ(after, dsum + at);
                EACH_LANE(e) d[e] += after[e];
            }
            WRITE(ds + at, d);
            ADD_COLUMNS(sums, i, dweight);
        }
    }
}

/* Programs: x over rows; y over groups with a weight of their own, and their columns. */
KERNEL(rms_norm_backward, RmsNormBackwardArguments) {
    COLUMNS(sums, 1, WARP_COLS);
    const int64_t blocks = blocks_of(a.cols, PROGRAM_COLS), first = program_x * a.rows_per_program;
    const int64_t from = program_y % blocks * PROGRAM_COLS, left = a.cols - from;
    const RmsNormPart part = {.first_row = first,
                              .end_row = end_of_program(first, a.rows, a.rows_per_program),
                              .first_group = program_y / blocks,
                              .groups = a.groups / a.weight_groups,
                              .from = from,
                              .count = left < PROGRAM_COLS ? left : PROGRAM_COLS};
    columns_zero(sums, WARP_COLS, part.count);
    VECTORS_OF(a.weight, a.x, a.residual, a.gate, a.dy, a.dsum, a.ds, a.dgate,
               (a.x_stride | a.residual_stride | a.gate_stride) * sizeof(element), a.dy_stride * sizeof(element),
               a.dsum_stride * sizeof(element), a.ds_stride * sizeof(element));
    if (a.residual)
        HELD_ROWS(a.cols, 1, rms_norm_backward_part(HELD_HERE, a, part, sums, true, false, false));
    else if (a.gate)
        HELD_ROWS(a.cols, 2, rms_norm_backward_part(HELD_HERE, a, part, sums, false, true, false));
    else if (a.dsum)
        HELD_ROWS(a.cols, 4, rms_norm_backward_part(HELD_HERE, a, part, sums, false, false, true));
    else
        HELD_ROWS(a.cols, 4, rms_norm_backward_part(HELD_HERE, a, part, sums, false, false, false));
    sync();
    float *partial = a.partial + (program_x * a.weight_groups + part.first_group) * a.cols + from;
    EACH_VECTOR(i, part.count) {
        READ_TOTALS(total, sums, i, a.cols);
        WRITE_F32(partial + i, total);
    }
}
