/* HGRN's forget gate (arXiv 2311.04823); equations in lower_bound_gate.h. */
#include "tile/tile.h"
#include "kernels/gates/lower_bound_gate/lower_bound_gate.h"
#include "tile/rows.h"

/* The largest of a column of `bounds`, and the sum of e^(entry - largest). */
typedef struct ColumnSoftmax {
    float largest, sum;
} ColumnSoftmax;

DEVICE ColumnSoftmax column_softmax(const element *bounds, int64_t layers, int64_t cols, int64_t column) {
    ColumnSoftmax softmax = {-INFINITY, 0};
    for (int64_t l = 0; l < layers; l++) softmax.largest = fmaxf(softmax.largest, to_float(bounds[l * cols + column]));
    for (int64_t l = 0; l < layers; l++) softmax.sum += exp_f(to_float(bounds[l * cols + column]) - softmax.largest);
    return softmax;
}

DEVICE int64_t columns_of_program(int64_t first, int64_t cols) {
    return cols - first < LOWER_BOUND_COLS ? cols - first : LOWER_BOUND_COLS;
}

KERNEL(lower_bound, LowerBoundArguments) {
    const int64_t first = program_x * LOWER_BOUND_COLS;
    const element *bounds = (const element *)a.bounds + first;
    float *bound = a.bound + first;
    EACH (i, columns_of_program(first, a.cols)) {
        const ColumnSoftmax softmax = column_softmax(bounds, a.layers, a.cols, i);
        float sum = 0;
        for (int64_t l = 1; l <= a.layer; l++) sum += exp_f(to_float(bounds[l * a.cols + i]) - softmax.largest);
        bound[i] = sum / softmax.sum;
    }
}

KERNEL(lower_bound_backward, LowerBoundBackwardArguments) {
    const int64_t first = program_x * LOWER_BOUND_COLS;
    const element *bounds = (const element *)a.bounds + first;
    EACH (i, columns_of_program(first, a.cols)) {
        const ColumnSoftmax softmax = column_softmax(bounds, a.layers, a.cols, i);
        float dbound = 0;
        for (int64_t r = 0; r < a.partial_rows; r++) dbound += a.partial[r * a.cols + first + i];
        for (int64_t l = 0; l < a.layers; l++) {
            const float part = exp_f(to_float(bounds[l * a.cols + i]) - softmax.largest) / softmax.sum;
            const float counts = l >= 1 && l <= a.layer ? 1.0f : 0.0f;
            a.gradient[l * a.cols + first + i] += part * dbound * (counts - a.bound[first + i]);
        }
    }
}

/* log f, from f and `rest` = 1 - f. Takes no difference, so that it is precise both near f = 1 and near f = 0. */
DEVICE float log_of_gate(float f, float rest) { return -log1p_any_f(divide_f(rest, f)); }

/* Inlined with constants for has_input and has_bound, so the loops have no branches. */
DEVICE void lower_bound_gate_rows(const LowerBoundGateArguments a, int64_t first, int64_t end, bool has_input,
                                  bool has_bound) {
    EACH_ROW (row, first, end) {
        const element *x = (const element *)a.x + row * a.x_stride;
        const element *input = (const element *)a.input + (has_input ? row * a.input_stride : 0);
        element *gated = (element *)a.gated + row * a.gated_stride;
        float *g = a.g + row * a.g_stride;
        VECTORS_OF(x, input, gated, g, a.bound);
        WARP_VECTOR(i, a.cols) {
            READ(z, x + i);
            float bound[VECTOR] = {0}, value[VECTOR], log_gate[VECTOR];
            if (has_bound) {
                READ_F32(bound_, a.bound + i);
                EACH_LANE(e) bound[e] = bound_[e];
            }
            EACH_LANE(e) {
                const Sigmoids s = sigmoids_of(z[e]);
                const float room = has_bound ? 1.0f - bound[e] : 1.0f, rest = room * s.of_opposite;
                log_gate[e] = has_bound ? log_of_gate(bound[e] + room * s.of, rest) : s.log_of;
                value[e] = rest;
            }
            if (has_input) {
                READ(in, input + i);
                EACH_LANE(e) value[e] *= silu_f(in[e]);
            }
            WRITE_F32(g + i, log_gate);
            WRITE(gated + i, value);
        }
    }
}

KERNEL(lower_bound_gate, LowerBoundGateArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    if (a.input && a.bound)
        lower_bound_gate_rows(a, first, end, true, true);
    else if (a.input)
        lower_bound_gate_rows(a, first, end, true, false);
    else if (a.bound)
        lower_bound_gate_rows(a, first, end, false, true);
    else
        lower_bound_gate_rows(a, first, end, false, false);
}

/* A program's part: the columns [from, from + cols) of some rows. */
typedef struct LowerBoundPart {
    int64_t first_row, end_row, from, cols;
} LowerBoundPart;

DEVICE void lower_bound_gate_backward_rows(const LowerBoundGateBackwardArguments a, const LowerBoundPart part,
                                           float *sums, bool has_input, bool has_bound) {
    const float *bounds = has_bound ? a.bound + part.from : NULL;
    EACH_SHORT_ROW (row, part.first_row, part.end_row, part.cols) {
        const element *x = (const element *)a.x + row * a.x_stride + part.from;
        const element *input = (const element *)a.input + (has_input ? row * a.input_stride + part.from : 0);
        const element *dgated = (const element *)a.dgated + row * a.dgated_stride + part.from;
        const float *dg = a.dg + row * a.dg_stride + part.from;
        element *dx = (element *)a.dx + row * a.x_stride + part.from;
        element *dinput = (element *)a.dinput + (has_input ? row * a.input_stride + part.from : 0);
        VECTORS_OF(x, input, dgated, dg, dx, dinput, bounds);
        WARP_VECTOR(i, part.cols) {
            READ(z, x + i);
            READ(d_out, dgated + i);
            READ_F32(d_log, dg + i);
            READ_COLUMNS(dbound, sums, i);
            float bound[VECTOR] = {0}, value[VECTOR] = {0};
            if (has_bound) {
                READ_F32(bound_, bounds + i);
                EACH_LANE(e) bound[e] = bound_[e];
            }
            if (has_input) {
                READ(in, input + i);
                EACH_LANE(e) value[e] = in[e];
            }
            EACH_LANE(e) {
                const Sigmoids sigmoids = sigmoids_of(z[e]);
                const float s = sigmoids.of, rest = sigmoids.of_opposite, room = has_bound ? 1.0f - bound[e] : 1.0f;
                const float d = d_out[e] * (has_input ? silu_f(value[e]) : 1.0f);
                const float df = has_bound ? d_log[e] / (bound[e] + room * s) - d : 0.0f;
                dbound[e] += df * rest;
                z[e] = has_bound ? df * room * s * rest : (d_log[e] - d * s) * rest;
                if (has_input) value[e] = d_out[e] * room * rest * silu_derivative_f(value[e]);
            }
            if (has_bound) WRITE_COLUMNS(sums, i, dbound);
            WRITE(dx + i, z);
            if (has_input) WRITE(dinput + i, value);
        }
    }
}

/* Programs: x over rows, y over columns. */
KERNEL(lower_bound_gate_backward, LowerBoundGateBackwardArguments) {
    COLUMNS(sums, 1, WARP_COLS);
    const int64_t first = program_x * a.rows_per_program, from = program_y * WARP_COLS, left = a.cols - from;
    const LowerBoundPart part = {.first_row = first,
                                 .end_row = end_of_program(first, a.rows, a.rows_per_program),
                                 .from = from,
                                 .cols = left < WARP_COLS ? left : WARP_COLS};
    columns_zero(sums, WARP_COLS, part.cols);
    if (a.input && a.bound)
        lower_bound_gate_backward_rows(a, part, sums, true, true);
    else if (a.input)
        lower_bound_gate_backward_rows(a, part, sums, true, false);
    else if (a.bound)
        lower_bound_gate_backward_rows(a, part, sums, false, true);
    else
        lower_bound_gate_backward_rows(a, part, sums, false, false);
    if (!a.bound) return;
    sync();
    float *partial = a.partial + program_x * a.cols + from;
    EACH_VECTOR(i, part.cols) {
        READ_TOTALS(total, sums, i, part.cols);
        WRITE_F32(partial + i, total);
    }
}
