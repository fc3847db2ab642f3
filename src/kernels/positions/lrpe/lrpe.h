/* Arguments of the lrpe kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_POSITIONS_LRPE_LRPE_H
#define FLAME_KERNELS_POSITIONS_LRPE_LRPE_H

#include <stdint.h>

/* For each head of D columns, and p the row's position: y[d] = x[d] cos(p theta[d]), y[d + D] = x[d] sin(p theta[d]).
 * theta [heads, D]; x [rows, heads*D]; y [rows, heads*2D]. */
typedef struct LrpeArguments {
    const void *x, *theta;
    const int32_t *position;
    void *y;
    int64_t rows, heads, D, rows_per_program, x_stride, y_stride;
} LrpeArguments;

/* dx[d] = dy[d] cos + dy[d + D] sin, dtheta[d] = sum over rows of p x[d] (dy[d + D] cos - dy[d] sin). A gradient has
 * the stride of its tensor. */
typedef struct LrpeBackwardArguments {
    const void *x, *theta, *dy;
    const int32_t *position;
    void *dx;
    float *partial; /* [programs over rows, heads, D] parts of dtheta */
    int64_t rows, heads, D, rows_per_program, x_stride, y_stride;
} LrpeBackwardArguments;

#endif
