/* Arguments of the l2_norm kernels, shared by host and device. Rows consist of `groups` groups of `cols` columns, each
 * normed by itself; strides in elements. */
#ifndef FLAME_KERNELS_NORMS_L2_NORM_L2_NORM_H
#define FLAME_KERNELS_NORMS_L2_NORM_L2_NORM_H

#include <stdint.h>

/* y = x * inverse, inverse = length / sqrt(sum(x^2) + eps). */
typedef struct L2NormArguments {
    const void *x;
    void *y;
    float *inverse; /* [rows, groups] */
    int64_t rows, groups, cols, rows_per_program, x_stride, y_stride;
    float eps, length;
} L2NormArguments;

/* n = x * inverse / length: dx = inverse * (dy - n * sum(dy * n)). dx has the stride of x. */
typedef struct L2NormBackwardArguments {
    const void *x, *dy;
    const float *inverse;
    void *dx;
    int64_t rows, groups, cols, rows_per_program, x_stride, dy_stride;
    float length;
} L2NormBackwardArguments;

#endif
