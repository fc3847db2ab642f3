/* Arguments of the bias kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_PRODUCTS_BIAS_BIAS_H
#define FLAME_KERNELS_PRODUCTS_BIAS_BIAS_H

#include <stdint.h>

/* y = x + bias, the same bias [cols] in every row. */
typedef struct BiasArguments {
    const void *x, *bias;
    void *y;
    int64_t rows, cols, rows_per_program, x_stride, y_stride;
} BiasArguments;

/* dbias = sum over rows of dy. */
typedef struct BiasBackwardArguments {
    const void *dy;
    float *partial; /* [programs over rows, cols] parts of dbias */
    int64_t rows, cols, rows_per_program, dy_stride;
} BiasBackwardArguments;

#endif
