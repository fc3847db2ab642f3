/* The skip and the gate after Mamba's recurrence; equations in gated_skip.h. has_gate and by_column are constants where
 * rows are inlined, so the loops have no branches: what a loop reads in place of a gate or a D by column is not used.
 */
#include "tile/tile.h"
#include "kernels/gates/gated_skip/gated_skip.h"
#include "tile/rows.h"

DEVICE void gated_skip_rows(const GatedSkipArguments a, int64_t first, int64_t end, bool has_gate, bool by_column) {
    EACH_GROUP (row, head, first, end, a.heads, a.cols) {
        const element *y = (const element *)a.y + row * a.y_stride + head * a.cols;
        const element *x = (const element *)a.x + row * a.x_stride + head * a.cols;
        const element *gate = has_gate ? (const element *)a.gate + row * a.gate_stride + head * a.cols : y;
        const element *D = by_column ? (const element *)a.D : y;
        element *z = (element *)a.z + row * a.z_stride + head * a.cols;
        const float of_head = by_column ? 0.0f : to_float(((const element *)a.D)[head]);
        VECTORS_OF(y, x, gate, D, z);
        WARP_VECTOR(i, a.cols) {
            READ(sum, y + i);
            READ(value, x + i);
            READ(g, gate + i);
            READ(factor, D + i);
            EACH_LANE(e) {
                sum[e] += (by_column ? factor[e] : of_head) * value[e];
                if (has_gate) sum[e] *= silu_f(g[e]);
            }
            WRITE(z + i, sum);
        }
    }
}

KERNEL(gated_skip, GatedSkipArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    if (a.gate && a.by_column)
        gated_skip_rows(a, first, end, true, true);
    else if (a.gate)
        gated_skip_rows(a, first, end, true, false);
    else if (a.by_column)
        gated_skip_rows(a, first, end, false, true);
    else
        gated_skip_rows(a, first, end, false, false);
}

/* Of the columns [from, from + count) of each head: dy, dx, dgate, and what they add to dD: to `sums` by column, or one
 * sum for each row and head. */
typedef struct GatedSkipPart {
    int64_t first_row, end_row, from, count;
} GatedSkipPart;

DEVICE void gated_skip_backward_part(const GatedSkipBackwardArguments a, const GatedSkipPart part, float *sums,
                                     bool has_gate, bool by_column) {
    EACH_GROUP (row, head, part.first_row, part.end_row, a.heads, a.cols) {
        const int64_t column = head * a.cols + part.from;
        const element *y = (const element *)a.y + row * a.y_stride + column;
        const element *x = (const element *)a.x + row * a.x_stride + column;
        const element *gate = has_gate ? (const element *)a.gate + row * a.gate_stride + column : y;
        const element *D = by_column ? (const element *)a.D + part.from : y;
        const element *dz = (const element *)a.dz + row * a.dz_stride + column;
        element *dy = (element *)a.dy + row * a.y_stride + column;
        element *dx = (element *)a.dx + row * a.x_stride + column;
        element *dgate = has_gate ? (element *)a.dgate + row * a.gate_stride + column : dy;
        const float of_head = by_column ? 0.0f : to_float(((const element *)a.D)[head]);
        VECTORS_OF(y, x, gate, D, dz, dy, dx, dgate);
        if (!by_column) {
            float sum = 0;
            WARP_SUM_VECTOR(i, part.count, sum) {
                READ(d, dz + i);
                READ(g, gate + i);
                READ(value, x + i);
                EACH_LANE(e) sum += d[e] * (has_gate ? silu_f(g[e]) : 1.0f) * value[e];
            }
            WARP_TOTAL(sum);
            WARP_EACH(one, 1) a.partial[row * a.heads + head] = sum;
        }
        WARP_VECTOR(i, part.count) {
            READ(before, y + i);
            READ(value, x + i);
            READ(g, gate + i);
            READ(factor, D + i);
            READ(d, dz + i);
            float inner[VECTOR], product[VECTOR];
            EACH_LANE(e) {
                if (!by_column) factor[e] = of_head;
                inner[e] = has_gate ? d[e] * silu_f(g[e]) : d[e];
                product[e] = inner[e] * value[e];
                g[e] = d[e] * (before[e] + factor[e] * value[e]) * silu_derivative_f(g[e]);
                factor[e] *= inner[e];
            }
            if (by_column) ADD_COLUMNS(sums, i, product);
            if (has_gate) WRITE(dgate + i, g);
            WRITE(dy + i, inner);
            WRITE(dx + i, factor);
        }
    }
}

/* Programs: x over rows; y over columns of the heads. */
KERNEL(gated_skip_backward, GatedSkipBackwardArguments) {
    COLUMNS(sums, 1, WARP_COLS);
    const int64_t first = program_x * a.rows_per_program, from = program_y * PROGRAM_COLS, left = a.cols - from;
    const GatedSkipPart part = {.first_row = first,
                                .end_row = end_of_program(first, a.rows, a.rows_per_program),
                                .from = from,
                                .count = left < PROGRAM_COLS ? left : PROGRAM_COLS};
    columns_zero(sums, WARP_COLS, a.by_column ? part.count : 0);
    if (a.gate && a.by_column)
        gated_skip_backward_part(a, part, sums, true, true);
    else if (a.gate)
        gated_skip_backward_part(a, part, sums, true, false);
    else if (a.by_column)
        gated_skip_backward_part(a, part, sums, false, true);
    else
        gated_skip_backward_part(a, part, sums, false, false);
    sync();
    float *partial = a.partial + program_x * a.cols + from;
    EACH_VECTOR(i, a.by_column ? part.count : 0) {
        READ_TOTALS(total, sums, i, a.cols);
        WRITE_F32(partial + i, total);
    }
}
