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

/* log f, from f and 1 - f: neither near f = 1 nor near f = 0 a difference is taken. Weights instead of branches: with
 * those gcc does not vectorise. */
DEVICE float log_of_gate(float f, float rest) {
    const float upper = rest < f ? 1.0f : 0.0f;
    const float ratio = rest / (f + rest * (1.0f - upper));
    return (1.0f - upper) * log_f(f) - upper * log1p_f(ratio);
}

/* has_input and has_bound are constants where the rows are inlined, so the loops have no branches. */
DEVICE void lower_bound_gate_row(const LowerBoundGateArguments a, int64_t row, bool has_input, bool has_bound) {
    const element *x = (const element *)a.x + row * a.x_stride;
    const element *input = (const element *)a.input + (has_input ? row * a.input_stride : 0);
    element *gated = (element *)a.gated + row * a.gated_stride;
    float *g = a.g + row * a.g_stride;
    EACH (i, a.cols) {
        const float z = to_float(x[i]), room = has_bound ? 1.0f - a.bound[i] : 1.0f;
        const float rest = room * sigmoid_f(-z);
        g[i] = has_bound ? log_of_gate(a.bound[i] + room * sigmoid_f(z), rest) : log_sigmoid_f(z);
        gated[i] = to_element(has_input ? rest * silu_f(to_float(input[i])) : rest);
    }
}

KERNEL(lower_bound_gate, LowerBoundGateArguments) {
    ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program) {
        if (a.input && a.bound)
            lower_bound_gate_row(a, row, true, true);
        else if (a.input)
            lower_bound_gate_row(a, row, true, false);
        else if (a.bound)
            lower_bound_gate_row(a, row, false, true);
        else
            lower_bound_gate_row(a, row, false, false);
    }
}

DEVICE void lower_bound_gate_backward_row(const LowerBoundGateBackwardArguments a, int64_t row, float *partial,
                                          bool has_input, bool has_bound) {
    const element *x = (const element *)a.x + row * a.x_stride;
    const element *input = (const element *)a.input + (has_input ? row * a.input_stride : 0);
    const element *dgated = (const element *)a.dgated + row * a.dgated_stride;
    const float *dg = a.dg + row * a.dg_stride;
    element *dx = (element *)a.dx + row * a.x_stride;
    element *dinput = (element *)a.dinput + (has_input ? row * a.input_stride : 0);
    EACH (i, a.cols) {
        const float z = to_float(x[i]), s = sigmoid_f(z), rest = sigmoid_f(-z);
        const float room = has_bound ? 1.0f - a.bound[i] : 1.0f, value = has_input ? to_float(input[i]) : 0.0f;
        const float d = to_float(dgated[i]) * (has_input ? silu_f(value) : 1.0f);
        const float df = has_bound ? dg[i] / (a.bound[i] + room * s) - d : 0.0f;
        if (has_bound) partial[i] += df * rest;
        dx[i] = to_element(has_bound ? df * room * s * rest : (dg[i] - d * s) * rest);
        if (has_input) dinput[i] = to_element(to_float(dgated[i]) * room * rest * silu_derivative_f(value));
    }
}

/* PARTIAL_ROWS rows per program. */
KERNEL(lower_bound_gate_backward, LowerBoundGateBackwardArguments) {
    float *partial = a.partial + program_x * a.cols;
    if (a.bound)
        EACH (i, a.cols) partial[i] = 0;
    ROWS_OF_PROGRAM (row, a.rows, PARTIAL_ROWS) {
        if (a.input && a.bound)
            lower_bound_gate_backward_row(a, row, partial, true, true);
        else if (a.input)
            lower_bound_gate_backward_row(a, row, partial, true, false);
        else if (a.bound)
            lower_bound_gate_backward_row(a, row, partial, false, true);
        else
            lower_bound_gate_backward_row(a, row, partial, false, false);
    }
}
