/* Arguments of the clamp kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_GATES_CLAMP_CLAMP_H
#define FLAME_KERNELS_GATES_CLAMP_CLAMP_H

#include <stdint.h>

/* y = min(max(x, low), high); backward: dx = dy where low <= x <= high, else 0. A gradient has the stride of its
 * tensor.
 */
typedef struct ClampArguments {
    const void *x, *dy;
    void *y, *dx;
    int64_t rows, cols, rows_per_program, x_stride, y_stride;
    float low, high;
} ClampArguments;

#endif
