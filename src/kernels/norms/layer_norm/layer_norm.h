/* Arguments of the layer_norm kernels, shared by host and device. Rows consist of `groups` groups of `cols` columns,
 * each normed by itself, with parts of the weight and the bias of its own: group_weights numbers behind those of the
 * group before, or 0 where all groups share them. Strides in elements. */
#ifndef FLAME_KERNELS_NORMS_LAYER_NORM_LAYER_NORM_H
#define FLAME_KERNELS_NORMS_LAYER_NORM_LAYER_NORM_H

#include <stdint.h>

/* Backward's sums of a program are in shared memory. Up to LAYER_NORM_COLS columns per group it takes so little that
 * SUM_PROGRAMS programs run at the same time, else LAYER_NORM_WIDE_PROGRAMS, 3 for each multiprocessor of an H100. */
enum { LAYER_NORM_COLS = 1024, LAYER_NORM_WIDE_PROGRAMS = 396 };

/* s = x + residual, mean = mean(s), rstd = 1/sqrt(mean((s - mean)^2) + eps), y = (weight + offset) * (s - mean) * rstd
 * + bias.
 */
typedef struct LayerNormArguments {
    const void *x, *residual;  /* residual may be NULL */
    const void *weight, *bias; /* [groups, cols] or [cols] */
    void *y, *sum;             /* sum: s rounded; may be NULL */
    float *mean, *rstd;        /* [rows, groups] */
    int64_t rows, groups, cols, group_weights, rows_per_program, x_stride, residual_stride, y_stride, sum_stride;
    float eps, offset;
} LayerNormArguments;

/* n = (s - mean) * rstd, e = (weight + offset) * dy: ds = rstd * (e - mean(e) - n * mean(e * n)) + dsum, dweight = sum
 * over rows of dy * n, dbias = sum over rows of dy. */
typedef struct LayerNormBackwardArguments {
    const void *x, *residual; /* residual may be NULL */
    const void *weight, *dy;
    const void *dsum; /* may be NULL */
    const float *mean, *rstd;
    void *ds;
    float
        *partial; /* [programs over rows, 2, groups, cols]: parts of dweight, of dbias; shared: [.., groups, 2, cols] */
    int64_t rows, groups, cols, group_weights, rows_per_program, x_stride, residual_stride, dy_stride, dsum_stride,
        ds_stride;
    float offset;
    int64_t groups_per_program; /* 1 on a GPU and where they share weights */
} LayerNormBackwardArguments;

#endif
