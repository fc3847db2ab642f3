/* Arguments of the multiply kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_GATES_MULTIPLY_MULTIPLY_H
#define FLAME_KERNELS_GATES_MULTIPLY_MULTIPLY_H

#include <stdint.h>

/* z = x * y; backward: dx = dz * y, dy = dz * x. A gradient has the stride of its tensor. */
typedef struct MultiplyArguments {
    const void *x, *y, *dz;
    void *z, *dx, *dy;
    int64_t rows, cols, rows_per_program, x_stride, y_stride, z_stride;
} MultiplyArguments;

#endif
