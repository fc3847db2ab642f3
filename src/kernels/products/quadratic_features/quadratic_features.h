/* Arguments of the quadratic_features kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_PRODUCTS_QUADRATIC_FEATURES_QUADRATIC_FEATURES_H
#define FLAME_KERNELS_PRODUCTS_QUADRATIC_FEATURES_QUADRATIC_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

enum { QUADRATIC_FEATURES_COLS = 64 }; /* the most columns of a head */

/* phi of every head x of d = `cols` columns. Pairs of entries are ordered by their distance o: phi_(o d + j) = f_o x_j
 * x_(j+o mod d) for o = 0 .. d/2; if d is even, the last distance has only d/2 pairs. f_0 = 1 and f_o = sqrt 2
 * otherwise, so that phi(x) . phi(y) = (x . y)^2. Taylor's features are the pairs / (sqrt 2 sqrt d), then the entries
 * x_j / d^(1/4), then 1. Zeros fill up to `features` columns. */
typedef struct QuadraticFeaturesArguments {
    const void *x, *dphi;
    void *phi, *dx;
    int64_t rows, heads, cols, features, rows_per_program, x_stride, phi_stride;
    bool taylor;
} QuadraticFeaturesArguments;

#endif
