/* The log decay of the gated delta rule; equations in softplus_decay.h. */
#include "tile/tile.h"
#include "tile/rows.h"
#include "kernels/gates/softplus_decay/softplus_decay.h"

KERNEL(softplus_decay, SoftplusDecayArguments) {
    const element *A_log = (const element *)a.A_log, *dt_bias = (const element *)a.dt_bias;
    ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program) {
        const element *x = (const element *)a.x + row * a.x_stride;
        float *g = a.g + row * a.g_stride;
        EACH (i, a.cols) g[i] = exp_f(to_float(A_log[i])) * log_sigmoid_f(-(to_float(x[i]) + to_float(dt_bias[i])));
    }
}

/* PARTIAL_ROWS rows per program. */
KERNEL(softplus_decay_backward, SoftplusDecayBackwardArguments) {
    const element *A_log = (const element *)a.A_log, *dt_bias = (const element *)a.dt_bias;
    float *partial_A_log = a.partial_A_log + program_x * a.cols;
    float *partial_dt_bias = a.partial_dt_bias + program_x * a.cols;
    EACH (i, a.cols) {
        partial_A_log[i] = 0;
        partial_dt_bias[i] = 0;
    }
    ROWS_OF_PROGRAM (row, a.rows, PARTIAL_ROWS) {
        const element *x = (const element *)a.x + row * a.x_stride;
        const float *g = a.g + row * a.g_stride, *dg = a.dg + row * a.g_stride;
        element *dx = (element *)a.dx + row * a.x_stride;
        EACH (i, a.cols) {
            const float d = -dg[i] * exp_f(to_float(A_log[i])) * sigmoid_f(to_float(x[i]) + to_float(dt_bias[i]));
            partial_A_log[i] += dg[i] * g[i];
            partial_dt_bias[i] += d;
            dx[i] = to_element(d);
        }
    }
}
