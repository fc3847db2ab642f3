/* Arguments of the repeat_heads kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_BASIC_REPEAT_HEADS_REPEAT_HEADS_H
#define FLAME_KERNELS_BASIC_REPEAT_HEADS_REPEAT_HEADS_H

#include <stdint.h>

/* Head n of y is head n / group of x; backward: dx is the sum of dy over the group. A gradient has the stride of its
 * tensor. */
typedef struct RepeatHeadsArguments {
    const void *x, *dy;
    void *y, *dx;
    int64_t rows, heads, group, cols; /* heads of x; columns of a head */
    int64_t rows_per_program, x_stride, y_stride;
} RepeatHeadsArguments;

#endif
