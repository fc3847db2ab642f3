/* Arguments of the max_plus_product kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_TROPICAL_MAX_PLUS_PRODUCT_MAX_PLUS_PRODUCT_H
#define FLAME_KERNELS_TROPICAL_MAX_PLUS_PRODUCT_MAX_PLUS_PRODUCT_H

#include <stdint.h>

/* The most columns of a head of x and of y; rows of a program on a CPU. */
enum { MAX_PLUS_COLS = 256, MAX_PLUS_ROWS = 16 };

/* Per head: y_j = max_i (x_i + w_ij), which is largest at i = choice_j, the first of equal ones. Backward: dx_i = the
 * sum of dy_j over the j with choice_j = i; dw_ij = the sum of dy_j over the rows and heads with choice_j = i. */
typedef struct MaxPlusArguments {
    const void *x, *w; /* w [cols, outs], shared by all heads */
    void *y;
    int32_t *choice; /* [rows, heads * outs] */
    const void *dy;
    void *dx;
    float *partial; /* [programs over rows, cols * outs] parts of dw */
    int64_t rows, heads, cols, outs, rows_per_program, x_stride, y_stride, choice_stride;
} MaxPlusArguments;

#endif
