/* The log decay of gated linear attention; equations in log_sigmoid_gate.h. */
#include "tile/tile.h"
#include "kernels/gates/log_sigmoid_gate/log_sigmoid_gate.h"
#include "tile/rows.h"

/* Inlined with a constant has_bias, so the loops have no branches. A row is one group. */
DEVICE void log_sigmoid_gate_rows(HELD_MODE, const LogSigmoidGateArguments a, int64_t first, int64_t end,
                                  bool has_bias) {
    EACH_HELD_GROUP(row, group, first, end, 1, a.cols) {
        const element *bias = (const element *)a.bias + (has_bias ? group * a.cols : 0);
        const element *x = (const element *)a.x + row * a.x_stride;
        float *g = a.g + row * a.g_stride;
        HELD_VECTOR(i, a.cols) {
            READ(z, x + i);
            if (has_bias) {
                READ(b, bias + i);
                EACH_LANE(e) z[e] += b[e];
            }
            EACH_LANE(e) {
                const float value = a.factor * log_sigmoid_f(z[e]);
                z[e] = value < a.clamp_min ? a.clamp_min : value;
            }
            WRITE_F32(g + i, z);
        }
    }
}

KERNEL(log_sigmoid_gate, LogSigmoidGateArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    VECTORS_OF(a.bias, a.x, a.g, a.x_stride * sizeof(element), a.g_stride * sizeof(float));
    if (a.bias)
        HELD_ROWS(a.cols, 4, log_sigmoid_gate_rows(HELD_HERE, a, first, end, true));
    else
        HELD_ROWS(a.cols, 4, log_sigmoid_gate_rows(HELD_HERE, a, first, end, false));
}

/* Backward of the columns [from, from + cols). Needs the logarithm only if there is a least value. */
DEVICE void log_sigmoid_gate_backward_rows(const LogSigmoidGateBackwardArguments a, int64_t first, int64_t end,
                                           int64_t from, int64_t cols, float *sums, bool has_bias, bool has_min) {
    const element *bias = (const element *)a.bias + (has_bias ? from : 0);
    EACH_SHORT_ROW (row, first, end, cols) {
        const element *x = (const element *)a.x + row * a.x_stride + from;
        const float *dg = a.dg + row * a.dg_stride + from;
        element *dx = (element *)a.dx + row * a.x_stride + from;
        VECTORS_OF(bias, x, dg, dx);
        WARP_VECTOR(i, cols) {
            READ(z, x + i);
            READ_F32(d, dg + i);
            if (has_bias) {
                READ(b, bias + i);
                EACH_LANE(e) z[e] += b[e];
            }
            EACH_LANE(e) {
                const float slope = a.factor * sigmoid_f(-z[e]);
                d[e] = has_min && a.factor * log_sigmoid_f(z[e]) < a.clamp_min ? 0.0f : d[e] * slope;
            }
            ADD_COLUMNS(sums, i, d);
            WRITE(dx + i, d);
        }
    }
}

/* Programs: x over rows, y over columns. */
KERNEL(log_sigmoid_gate_backward, LogSigmoidGateBackwardArguments) {
    COLUMNS(sums, 1, WARP_COLS);
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    const int64_t from = program_y * WARP_COLS, cols = a.cols - from < WARP_COLS ? a.cols - from : WARP_COLS;
    columns_zero(sums, WARP_COLS, cols);
    if (a.clamp_min > -INFINITY)
        log_sigmoid_gate_backward_rows(a, first, end, from, cols, sums, a.bias != NULL, true);
    else if (a.bias)
        log_sigmoid_gate_backward_rows(a, first, end, from, cols, sums, true, false);
    else
        log_sigmoid_gate_backward_rows(a, first, end, from, cols, sums, false, false);
    sync();
    float *partial = a.partial + program_x * a.cols + from;
    EACH_VECTOR(i, cols) {
        READ_TOTALS(total, sums, i, cols);
        WRITE_F32(partial + i, total);
    }
}
