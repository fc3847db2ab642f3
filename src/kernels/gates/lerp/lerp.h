/* Arguments of the lerp kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_GATES_LERP_LERP_H
#define FLAME_KERNELS_GATES_LERP_LERP_H

#include <stdint.h>

/* z = x + (y - x) * w; backward: dx = dz * (1 - w), dy = dz * w, dw = dz * (y - x). A gradient has the stride of its
 * tensor. */
typedef struct LerpArguments {
    const void *x, *y, *w, *dz;
    void *z, *dx, *dy, *dw;
    int64_t rows, cols, rows_per_program, x_stride, y_stride, w_stride, z_stride;
} LerpArguments;

#endif
