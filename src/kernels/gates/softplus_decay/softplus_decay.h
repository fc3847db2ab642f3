/* Arguments of the softplus_decay kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_GATES_SOFTPLUS_DECAY_SOFTPLUS_DECAY_H
#define FLAME_KERNELS_GATES_SOFTPLUS_DECAY_SOFTPLUS_DECAY_H

#include <stdint.h>

/* g = -e^A_log softplus(x + dt_bias), s = ln softplus(x + dt_bias), fp32. */
typedef struct SoftplusDecayArguments {
    const void *x, *A_log, *dt_bias; /* A_log, dt_bias [cols] */
    float *g, *s;                    /* s: NULL if not wanted */
    int64_t rows, cols, rows_per_program, x_stride, g_stride;
} SoftplusDecayArguments;

/* dx = -dg e^A_log sigmoid(x + dt_bias) + ds e^-s sigmoid(x + dt_bias), ddt_bias = sum over rows of dx, dA_log = sum
 * over rows of dg g. dx has the stride of x; g, s and their gradients share g_stride. */
typedef struct SoftplusDecayBackwardArguments {
    const void *x, *A_log, *dt_bias;
    const float *g, *dg, *s, *ds; /* s, ds: NULL if not wanted */
    void *dx;
    float *partial_A_log, *partial_dt_bias; /* [rows, cols] parts of the sums */
    int64_t rows, cols, rows_per_program, x_stride, g_stride;
} SoftplusDecayBackwardArguments;

#endif
