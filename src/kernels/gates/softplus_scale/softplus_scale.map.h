/* What a token adds to the state of Mamba-2, its input times its time step; equations in softplus_scale.h. */
#include "tile/tile.h"
#include "tile/rows.h"
#include "kernels/gates/softplus_scale/softplus_scale.h"

KERNEL(softplus_scale, SoftplusScaleArguments) {
    const element *dt_bias = (const element *)a.dt_bias;
    ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program) {
        const element *dt = (const element *)a.dt + row * a.dt_stride;
        for (int64_t head = 0; head < a.heads; head++) {
            const element *x = (const element *)a.x + row * a.x_stride + head * a.cols;
            element *y = (element *)a.y + row * a.y_stride + head * a.cols;
            const float factor = -log_sigmoid_f(-(to_float(dt[head]) + to_float(dt_bias[head])));
            EACH (i, a.cols) y[i] = to_element(factor * to_float(x[i]));
        }
    }
}

/* PARTIAL_ROWS rows per program. */
KERNEL(softplus_scale_backward, SoftplusScaleBackwardArguments) {
    const element *dt_bias = (const element *)a.dt_bias;
    float *partial = a.partial + program_x * a.heads;
    EACH (head, a.heads) partial[head] = 0; /* added to after a SUM, which all threads have come to by then */
    ROWS_OF_PROGRAM (row, a.rows, PARTIAL_ROWS) {
        const element *dt = (const element *)a.dt + row * a.dt_stride;
        element *ddt = (element *)a.ddt + row * a.dt_stride;
        for (int64_t head = 0; head < a.heads; head++) {
            const element *x = (const element *)a.x + row * a.x_stride + head * a.cols;
            const element *dy = (const element *)a.dy + row * a.dy_stride + head * a.cols;
            element *dx = (element *)a.dx + row * a.x_stride + head * a.cols;
            const float z = to_float(dt[head]) + to_float(dt_bias[head]), factor = -log_sigmoid_f(-z);
            float sum = 0;
            SUM(sum, i, a.cols, to_float(dy[i]) * to_float(x[i]));
            EACH (i, a.cols) dx[i] = to_element(factor * to_float(dy[i]));
            EACH (one, 1) {
                partial[head] += sum * sigmoid_f(z);
                ddt[head] = to_element(sum * sigmoid_f(z));
            }
        }
    }
}
