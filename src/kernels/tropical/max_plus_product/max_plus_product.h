/* Arguments of the max_plus_product kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_TROPICAL_MAX_PLUS_PRODUCT_MAX_PLUS_PRODUCT_H
#define FLAME_KERNELS_TROPICAL_MAX_PLUS_PRODUCT_MAX_PLUS_PRODUCT_H

#include <stdint.h>

enum { MAX_PLUS_COLS = 256, MAX_PLUS_ROWS = 16 }; /* the most columns of a head, of x and of y; rows on a CPU */

/* Per head y_j = max_i (x_i + w_ij), the largest at i = choice_j, the first of equals. Backward: dx_i = the sum of dy_j
 * over the j with choice_j = i, dw_ij = the same over all rows and heads, for each j alone. */
typedef struct MaxPlusArguments {
    const void *x, *w; /* w [cols, outs], of all heads */
    void *y;
    int32_t *choice; /* [rows, heads * outs] */
    const void *dy;
    void *dx;
    float *partial; /* [programs over rows, cols * outs] parts of dw */
    int64_t rows, heads, cols, outs, rows_per_program, x_stride, y_stride, choice_stride;
} MaxPlusArguments;

#endif
