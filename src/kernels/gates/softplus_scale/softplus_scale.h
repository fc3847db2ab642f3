/* Arguments of the softplus_scale kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_GATES_SOFTPLUS_SCALE_SOFTPLUS_SCALE_H
#define FLAME_KERNELS_GATES_SOFTPLUS_SCALE_SOFTPLUS_SCALE_H

#include <stdint.h>

/* y = softplus(dt + dt_bias) x, dt and dt_bias one number for each of `heads` heads of `cols` columns. */
typedef struct SoftplusScaleArguments {
    const void *x, *dt, *dt_bias; /* dt_bias [heads] */
    void *y;
    int64_t rows, heads, cols, rows_per_program, x_stride, dt_stride, y_stride;
} SoftplusScaleArguments;

/* dx = dy softplus(dt + dt_bias), ddt = sigmoid(dt + dt_bias) sum over the head of dy x, ddt_bias = sum over rows of
 * ddt. Each gradient has the stride of its tensor. */
typedef struct SoftplusScaleBackwardArguments {
    const void *x, *dt, *dt_bias, *dy;
    void *dx, *ddt;
    float *partial; /* [rows, heads] parts of ddt_bias */
    int64_t rows, heads, cols, rows_per_program, x_stride, dt_stride, dy_stride;
} SoftplusScaleBackwardArguments;

#endif
