/* Functions of one element. `kind` is a constant where the rows are inlined, so the loops have no branches. */
#include "tile/tile.h"
#include "kernels/gates/activation/activation.h"
#include "tile/rows.h"

DEVICE float activation_value(float x, Activation kind) {
    if (kind == ACTIVATION_SILU) return silu_f(x);
    if (kind == ACTIVATION_RELU) return x > 0.0f ? x : 0.0f;
    if (kind == ACTIVATION_SIGMOID) return sigmoid_f(x);
    return (x > 0.0f ? x : 0.0f) + exp_f(x < 0.0f ? x : 0.0f);
}

DEVICE float activation_derivative(float x, Activation kind) {
    if (kind == ACTIVATION_SILU) return silu_derivative_f(x);
    if (kind == ACTIVATION_RELU) return x > 0.0f ? 1.0f : 0.0f;
    if (kind == ACTIVATION_SIGMOID) return sigmoid_derivative_f(x);
    return exp_f(x < 0.0f ? x : 0.0f);
}

DEVICE void activation_row(const ActivationArguments a, int64_t row, Activation kind) {
    const element *x = (const element *)a.x + row * a.x_stride;
    element *y = (element *)a.y + row * a.y_stride;
    EACH (i, a.cols) y[i] = to_element(activation_value(to_float(x[i]), kind));
}

DEVICE void activation_backward_row(const ActivationBackwardArguments a, int64_t row, Activation kind) {
    const element *x = (const element *)a.x + row * a.x_stride;
    const element *dy = (const element *)a.dy + row * a.dy_stride;
    element *dx = (element *)a.dx + row * a.x_stride;
    EACH (i, a.cols) dx[i] = to_element(to_float(dy[i]) * activation_derivative(to_float(x[i]), kind));
}

KERNEL(activation, ActivationArguments) {
    ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program) {
        if (a.kind == ACTIVATION_SILU)
            activation_row(a, row, ACTIVATION_SILU);
        else if (a.kind == ACTIVATION_RELU)
            activation_row(a, row, ACTIVATION_RELU);
        else if (a.kind == ACTIVATION_SIGMOID)
            activation_row(a, row, ACTIVATION_SIGMOID);
        else
            activation_row(a, row, ACTIVATION_ONE_PLUS_ELU);
    }
}

KERNEL(activation_backward, ActivationBackwardArguments) {
    ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program) {
        if (a.kind == ACTIVATION_SILU)
            activation_backward_row(a, row, ACTIVATION_SILU);
        else if (a.kind == ACTIVATION_RELU)
            activation_backward_row(a, row, ACTIVATION_RELU);
        else if (a.kind == ACTIVATION_SIGMOID)
            activation_backward_row(a, row, ACTIVATION_SIGMOID);
        else
            activation_backward_row(a, row, ACTIVATION_ONE_PLUS_ELU);
    }
}

KERNEL(sigmoid_gate, ActivationArguments) {
    ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program) {
        const element *x = (const element *)a.x + row * a.x_stride;
        float *y = (float *)a.y + row * a.y_stride;
        EACH (i, a.cols) y[i] = a.factor * sigmoid_f(to_float(x[i]));
    }
}

KERNEL(sigmoid_gate_backward, ActivationBackwardArguments) {
    ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program) {
        const element *x = (const element *)a.x + row * a.x_stride;
        const float *dy = (const float *)a.dy + row * a.dy_stride;
        element *dx = (element *)a.dx + row * a.x_stride;
        EACH (i, a.cols) dx[i] = to_element(dy[i] * a.factor * sigmoid_derivative_f(to_float(x[i])));
    }
}
