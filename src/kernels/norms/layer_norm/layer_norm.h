/* Arguments of the layer_norm kernels, shared by host and device. Rows consist of `groups` groups of `cols` columns,
 * each normed by itself. The weights and biases of a group begin group_weights numbers after those of the group before;
 * 0 means that all groups share them. Strides in elements. */
#ifndef FLAME_KERNELS_NORMS_LAYER_NORM_LAYER_NORM_H
#define FLAME_KERNELS_NORMS_LAYER_NORM_LAYER_NORM_H

#include <stdint.h>

/* A program of backward has its sums in shared memory. Up to LAYER_NORM_COLS columns per group they take so little that
 * SUM_PROGRAMS programs run at the same time; with more columns it is LAYER_NORM_WIDE_PROGRAMS, 3 for each
 * multiprocessor of an H100. */
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
    float *partial; /* parts of dweight and dbias: [programs over rows, 2, groups, cols], or [.., groups, 2, cols] if
                       groups share weights */
    int64_t rows, groups, cols, group_weights, rows_per_program, x_stride, residual_stride, dy_stride, dsum_stride,
        ds_stride;
    float offset;
    int64_t groups_per_program; /* 1 on a GPU and if groups share weights */
} LayerNormBackwardArguments;

#endif
