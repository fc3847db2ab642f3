/* Arguments of the gated_rms_norm kernels, shared by host and device. Rows consist of `groups` groups of `cols`
 * columns, each normed by itself; strides in elements. */
#ifndef FLAME_KERNELS_NORMS_GATED_RMS_NORM_GATED_RMS_NORM_H
#define FLAME_KERNELS_NORMS_GATED_RMS_NORM_GATED_RMS_NORM_H

#include <stdbool.h>
#include <stdint.h>

/* rstd = 1/sqrt(mean(x^2) + eps), y = weight * x * rstd * f(gate), f = silu or sigmoid. */
typedef struct GatedRmsNormArguments {
    const void *x, *gate;
    const void *weight; /* [cols] */
    void *y;
    float *rstd; /* [rows, groups] */
    int64_t rows, groups, cols, rows_per_program, x_stride, gate_stride, y_stride;
    float eps;
    bool sigmoid;
} GatedRmsNormArguments;

/* n = x * rstd, e = weight * f(gate) * dy: dx = rstd * (e - n * mean(e * n)),
 * dgate = dy * weight * n * f'(gate), dweight = sum over rows of dy * n * f(gate).
 * Each gradient has the stride of its tensor. */
typedef struct GatedRmsNormBackwardArguments {
    const void *x, *gate, *weight, *y, *dy;
    const float *rstd;
    void *dx, *dgate;
    float *partial; /* [programs over rows, cols] parts of dweight */
    int64_t rows, groups, cols, rows_per_program, x_stride, gate_stride, y_stride;
    bool sigmoid;
} GatedRmsNormBackwardArguments;

#endif
