/* Arguments of the normalise kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_NORMS_NORMALISE_NORMALISE_H
#define FLAME_KERNELS_NORMS_NORMALISE_NORMALISE_H

#include <stdint.h>

/* y = x / d, d = max(|z|, e^-m) + eps, for heads of `cols` columns; without m, d = |z| + eps. Backward: dx = dy / d,
 * and with the gradient dd = -(dy . y) / d of d: dz = dd sign(z) where |z| is the larger, else dm = -dd e^-m. A
 * gradient has the stride of its tensor. */
typedef struct NormaliseArguments {
    const void *x, *dy;
    const float *z, *m; /* [rows, heads]; m may be NULL */
    void *y, *dx;
    float *dz, *dm; /* dm may be NULL */
    int64_t rows, heads, cols, rows_per_program, x_stride, y_stride, z_stride, m_stride;
    float eps;
} NormaliseArguments;

#endif
