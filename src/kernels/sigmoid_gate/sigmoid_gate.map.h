/* A gate in fp32; equations in sigmoid_gate.h. */
#include "kernels/tile.h"
#include "kernels/rows.h"
#include "kernels/sigmoid_gate/sigmoid_gate.h"

KERNEL(sigmoid_gate, SigmoidGateArguments) {
    ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program) {
        const element *x = (const element *)a.x + row * a.x_stride;
        float *y = a.y + row * a.y_stride;
        EACH (i, a.cols) y[i] = a.factor * sigmoid_f(to_float(x[i]));
    }
}

KERNEL(sigmoid_gate_backward, SigmoidGateBackwardArguments) {
    ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program) {
        const element *x = (const element *)a.x + row * a.x_stride;
        const float *dy = a.dy + row * a.dy_stride;
        element *dx = (element *)a.dx + row * a.x_stride;
        EACH (i, a.cols) dx[i] = to_element(dy[i] * a.factor * sigmoid_derivative_f(to_float(x[i])));
    }
}
