/* The skip and the gate after Mamba's recurrence; equations in gated_skip.h. Rows are inlined with a constant has_gate,
 * so the loops have no branches; what a loop reads in place of a missing gate is not used. */
#include "tile/tile.h"
#include "kernels/gates/gated_skip/gated_skip.h"
#include "tile/rows.h"

DEVICE void gated_skip_rows(const GatedSkipArguments a, int64_t first, int64_t end, bool has_gate) {
    EACH_SHORT_ROW (row, first, end, a.cols) {
        const element *y = (const element *)a.y + row * a.y_stride, *x = (const element *)a.x + row * a.x_stride;
        const element *gate = has_gate ? (const element *)a.gate + row * a.gate_stride : y;
        const element *D = (const element *)a.D;
        element *z = (element *)a.z + row * a.z_stride;
        VECTORS_OF(y, x, gate, D, z);
        WARP_VECTOR(i, a.cols) {
            READ(sum, y + i);
            READ(value, x + i);
            READ(g, gate + i);
            READ(factor, D + i);
            EACH_LANE(e) {
                sum[e] += factor[e] * value[e];
                if (has_gate) sum[e] *= silu_f(g[e]);
            }
            WRITE(z + i, sum);
        }
    }
}

KERNEL(gated_skip, GatedSkipArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    if (a.gate)
        gated_skip_rows(a, first, end, true);
    else
        gated_skip_rows(a, first, end, false);
}

/* A program's part, the columns [from, from + count) of some rows. Backward computes its dy, dx, dgate, and its share
 * of dD. */
typedef struct GatedSkipPart {
    int64_t first_row, end_row, from, count;
} GatedSkipPart;

DEVICE void gated_skip_backward_part(const GatedSkipBackwardArguments a, const GatedSkipPart part, float *sums,
                                     bool has_gate) {
    EACH_SHORT_ROW (row, part.first_row, part.end_row, a.cols) {
        const element *y = (const element *)a.y + row * a.y_stride + part.from;
        const element *x = (const element *)a.x + row * a.x_stride + part.from;
        const element *gate = has_gate ? (const element *)a.gate + row * a.gate_stride + part.from : y;
        const element *D = (const element *)a.D + part.from;
        const element *dz = (const element *)a.dz + row * a.dz_stride + part.from;
        element *dy = (element *)a.dy + row * a.y_stride + part.from;
        element *dx = (element *)a.dx + row * a.x_stride + part.from;
        element *dgate = has_gate ? (element *)a.dgate + row * a.gate_stride + part.from : dy;
        VECTORS_OF(y, x, gate, D, dz, dy, dx, dgate);
        WARP_VECTOR(i, part.count) {
            READ(before, y + i);
            READ(value, x + i);
            READ(g, gate + i);
            READ(factor, D + i);
            READ(d, dz + i);
            float inner[VECTOR], product[VECTOR];
            EACH_LANE(e) {
                inner[e] = has_gate ? d[e] * silu_f(g[e]) : d[e];
                product[e] = inner[e] * value[e];
                g[e] = d[e] * (before[e] + factor[e] * value[e]) * silu_derivative_f(g[e]);
                factor[e] *= inner[e];
            }
            ADD_COLUMNS(sums, i, product);
            if (has_gate) WRITE(dgate + i, g);
            WRITE(dy + i, inner);
            WRITE(dx + i, factor);
        }
    }
}

/* Programs: x over rows; y over columns. */
KERNEL(gated_skip_backward, GatedSkipBackwardArguments) {
    COLUMNS(sums, 1, WARP_COLS);
    const int64_t first = program_x * a.rows_per_program, from = program_y * PROGRAM_COLS, left = a.cols - from;
    const GatedSkipPart part = {.first_row = first,
                                .end_row = end_of_program(first, a.rows, a.rows_per_program),
                                .from = from,
                                .count = left < PROGRAM_COLS ? left : PROGRAM_COLS};
    columns_zero(sums, WARP_COLS, part.count);
    if (a.gate)
        gated_skip_backward_part(a, part, sums, true);
    else
        gated_skip_backward_part(a, part, sums, false);
    sync();
    float *partial = a.partial + program_x * a.cols + from;
    EACH_VECTOR(i, part.count) {
        READ_TOTALS(total, sums, i, a.cols);
        WRITE_F32(partial + i, total);
    }
}
