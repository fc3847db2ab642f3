/* Arguments of the group_softmax kernels, shared by host and device. Rows consist of `groups` groups of `cols` columns;
 * strides in elements. */
#ifndef FLAME_KERNELS_SOFTMAX_GROUP_SOFTMAX_GROUP_SOFTMAX_H
#define FLAME_KERNELS_SOFTMAX_GROUP_SOFTMAX_GROUP_SOFTMAX_H

#include <stdint.h>

/* p = e^x / sum of e^x over the group. */
typedef struct GroupSoftmaxArguments {
    const void *x;
    void *p;
    int64_t rows, groups, cols, rows_per_program, x_stride, p_stride;
} GroupSoftmaxArguments;

/* dx = p (dp - sum(dp * p)). A gradient has the stride of its tensor. */
typedef struct GroupSoftmaxBackwardArguments {
    const void *p, *dp;
    void *dx;
    int64_t rows, groups, cols, rows_per_program, x_stride, p_stride;
} GroupSoftmaxBackwardArguments;

#endif
