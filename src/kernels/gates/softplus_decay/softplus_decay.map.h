/* The log decay of the gated delta rule; equations in softplus_decay.h. */
#include "tile/tile.h"
#include "tile/rows.h"
#include "kernels/gates/softplus_decay/softplus_decay.h"

/* ln softplus(z), which is z where e^z is too small to matter: z < -20. */
DEVICE float log_softplus_f(float z) {
    const float log = log_f(softplus_f(z < -20.0f ? -20.0f : z));
    return z < -20.0f ? z : log;
}

KERNEL(softplus_decay, SoftplusDecayArguments) {
    const element *A_log = (const element *)a.A_log, *dt_bias = (const element *)a.dt_bias;
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_SHORT_ROW (row, first, end, a.cols) {
        const element *x = (const element *)a.x + row * a.x_stride;
        float *g = a.g + row * a.g_stride, *s = a.s + (a.s ? row * a.g_stride : 0);
        VECTORS_OF(x, A_log, dt_bias, g, s);
        WARP_VECTOR(i, a.cols) {
            READ(value, x + i);
            READ(rate, A_log + i);
            READ(bias, dt_bias + i);
            if (a.s) {
                float log[VECTOR];
                EACH_LANE(e) log[e] = log_softplus_f(value[e] + bias[e]);
                WRITE_F32(s + i, log);
            }
            EACH_LANE(e) value[e] = -exp_f(rate[e]) * softplus_f(value[e] + bias[e]);
            WRITE_F32(g + i, value);
        }
    }
}

KERNEL(softplus_decay_backward, SoftplusDecayBackwardArguments) {
    const element *A_log = (const element *)a.A_log, *dt_bias = (const element *)a.dt_bias;
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_SHORT_ROW (row, first, end, a.cols) {
        const element *x = (const element *)a.x + row * a.x_stride;
        const float *g = a.g + row * a.g_stride, *dg = a.dg + row * a.g_stride;
        const float *s = a.s + (a.s ? row * a.g_stride : 0), *ds = a.ds + (a.s ? row * a.g_stride : 0);
        element *dx = (element *)a.dx + row * a.x_stride;
        float *partial_A_log = a.partial_A_log + row * a.cols, *partial_dt_bias = a.partial_dt_bias + row * a.cols;
        WARP_VECTOR(i, a.cols) {
            READ(value, x + i);
            READ(rate, A_log + i);
            READ(bias, dt_bias + i);
            READ_F32(decay, g + i);
            READ_F32(d, dg + i);
            EACH_LANE(e) {
                decay[e] *= d[e];
                d[e] *= -exp_f(rate[e]) * sigmoid_f(value[e] + bias[e]);
            }
            if (a.s) {
                READ_F32(log, s + i);
                READ_F32(dlog, ds + i);
                EACH_LANE(e) d[e] += dlog[e] * sigmoid_f(value[e] + bias[e]) * exp_f(-log[e]);
            }
            WRITE_F32(partial_A_log + i, decay);
            WRITE_F32(partial_dt_bias + i, d);
            WRITE(dx + i, d);
        }
    }
}
