/* Arguments of the biased_product kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_PRODUCTS_BIASED_PRODUCT_BIASED_PRODUCT_H
#define FLAME_KERNELS_PRODUCTS_BIASED_PRODUCT_BIASED_PRODUCT_H

#include <stdint.h>

/* z = (x + x_bias) * (y + y_bias) for rows of `heads` heads of `cols` columns. */
typedef struct BiasedProductArguments {
    const void *x, *y, *x_bias, *y_bias; /* the biases [cols] */
    void *z;
    int64_t rows, heads, cols, rows_per_program, x_stride, y_stride, z_stride;
} BiasedProductArguments;

/* dx = dz * (y + y_bias), dy = dz * (x + x_bias); the gradients of the biases are the sums of dx and dy over rows and
 * heads. dx and dy have the strides of x and y. */
typedef struct BiasedProductBackwardArguments {
    const void *x, *y, *x_bias, *y_bias, *dz;
    void *dx, *dy;
    float *partial_x, *partial_y; /* [programs over rows, cols] parts of the biases' gradients */
    int64_t rows, heads, cols, rows_per_program, x_stride, y_stride, dz_stride;
} BiasedProductBackwardArguments;

#endif
