/* Arguments of the sigmoid_gate kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_SIGMOID_GATE_H
#define FLAME_KERNELS_SIGMOID_GATE_H

#include <stdint.h>

/* y = factor * sigmoid(x), fp32. */
typedef struct SigmoidGateArguments {
    const void *x;
    float *y;
    int64_t rows, cols, rows_per_program, x_stride, y_stride;
    float factor;
} SigmoidGateArguments;

/* dx = dy * factor * sigmoid'(x). dx has the stride of x. */
typedef struct SigmoidGateBackwardArguments {
    const void *x;
    const float *dy;
    void *dx;
    int64_t rows, cols, rows_per_program, x_stride, dy_stride;
    float factor;
} SigmoidGateBackwardArguments;

#endif
