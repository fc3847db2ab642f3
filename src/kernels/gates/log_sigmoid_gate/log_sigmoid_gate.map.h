/* The log decay of gated linear attention; equations in log_sigmoid_gate.h. */
#include "tile/tile.h"
#include "kernels/gates/log_sigmoid_gate/log_sigmoid_gate.h"
#include "tile/rows.h"

DEVICE void log_sigmoid_gate_row(const LogSigmoidGateArguments a, int64_t row, bool has_bias) {
    const element *x = (const element *)a.x + row * a.x_stride, *bias = (const element *)a.bias;
    float *g = a.g + row * a.g_stride;
    EACH (i, a.cols) {
        const float value = a.factor * log_sigmoid_f(to_float(x[i]) + (has_bias ? to_float(bias[i]) : 0.0f));
        g[i] = value < a.clamp_min ? a.clamp_min : value;
    }
}

KERNEL(log_sigmoid_gate, LogSigmoidGateArguments) {
    ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program) {
        if (a.bias)
            log_sigmoid_gate_row(a, row, true);
        else
            log_sigmoid_gate_row(a, row, false);
    }
}

DEVICE void log_sigmoid_gate_backward_row(const LogSigmoidGateBackwardArguments a, int64_t row, float *partial,
                                          bool has_bias) {
    const element *x = (const element *)a.x + row * a.x_stride, *bias = (const element *)a.bias;
    const float *dg = a.dg + row * a.dg_stride;
    element *dx = (element *)a.dx + row * a.x_stride;
    EACH (i, a.cols) {
        const float z = to_float(x[i]) + (has_bias ? to_float(bias[i]) : 0.0f);
        const float slope = a.factor * sigmoid_f(-z);
        const float d = a.factor * log_sigmoid_f(z) < a.clamp_min ? 0.0f : dg[i] * slope;
        partial[i] += d;
        dx[i] = to_element(d);
    }
}

/* PARTIAL_ROWS rows per program. */
KERNEL(log_sigmoid_gate_backward, LogSigmoidGateBackwardArguments) {
    float *partial = a.partial + program_x * a.cols;
    EACH (i, a.cols) partial[i] = 0;
    ROWS_OF_PROGRAM (row, a.rows, PARTIAL_ROWS) {
        if (a.bias)
            log_sigmoid_gate_backward_row(a, row, partial, true);
        else
            log_sigmoid_gate_backward_row(a, row, partial, false);
    }
}
