/* Arguments of the rms_norm kernels, shared by host and device. Rows consist of `groups` groups of `cols` columns, each
 * normed by itself; all groups share one weight (weight_groups = 1) or each has its own (weight_groups = groups).
 * Strides in elements. */
#ifndef FLAME_KERNELS_NORMS_RMS_NORM_RMS_NORM_H
#define FLAME_KERNELS_NORMS_RMS_NORM_RMS_NORM_H

#include <stdint.h>

/* s = x + residual or x * silu(gate), rstd = 1/sqrt(mean(s^2) + eps), y = weight * s * rstd. */
typedef struct RmsNormArguments {
    const void *x, *residual, *gate; /* residual or gate or both are NULL */
    const void *weight;              /* [weight_groups, cols] */
    void *y, *sum;                   /* sum: s rounded; may be NULL */
    float *rstd;                     /* [rows, groups] */
    int64_t rows, groups, weight_groups, cols, rows_per_program, x_stride, residual_stride, gate_stride, y_stride,
        sum_stride;
    float eps;
} RmsNormArguments;

/* n = s * rstd, e = weight * dy: ds = rstd * (e - n * mean(e * n)) + dsum, dweight = sum over rows of dy * n. With a
 * gate ds silu(gate), the gradient of x, is stored as ds, and dgate = ds x silu'(gate). */
typedef struct RmsNormBackwardArguments {
    const void *x, *residual, *gate; /* residual or gate or both are NULL */
    const void *weight, *dy;
    const void *dsum; /* may be NULL */
    const float *rstd;
    void *ds, *dgate;
    float *partial; /* [programs over rows, weight_groups, cols] parts of dweight */
    int64_t rows, groups, weight_groups, cols, rows_per_program, x_stride, residual_stride, gate_stride, dy_stride,
        dsum_stride, ds_stride;
} RmsNormBackwardArguments;

#endif
