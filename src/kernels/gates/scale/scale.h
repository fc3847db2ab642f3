/* Arguments of the scale kernel, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_GATES_SCALE_SCALE_H
#define FLAME_KERNELS_GATES_SCALE_SCALE_H

#include <stdint.h>

/* y = factor x. The same kernel is its backward, dx = factor dy. */
typedef struct ScaleArguments {
    const void *x;
    void *y;
    int64_t rows, cols, rows_per_program, x_stride, y_stride;
    float factor;
} ScaleArguments;

#endif
