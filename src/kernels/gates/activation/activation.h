/* The arguments of the kernels of activations, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_GATES_ACTIVATION_ACTIVATION_H
#define FLAME_KERNELS_GATES_ACTIVATION_ACTIVATION_H

#include <stdint.h>

#include "kernels/gates/activation/activation_kind.h"

/* activation: y = f(x). sigmoid_gate: y = factor * sigmoid(x), exponential_decay: y = -e^x, y in fp32. */
typedef struct ActivationArguments {
    const void *x;
    void *y;
    int64_t rows, cols, rows_per_program, x_stride, y_stride;
    Activation kind;
    float factor;
} ActivationArguments;

/* dx = dy * f'(x), dy * factor * sigmoid'(x), or -dy * e^x. dy is of y's type; dx has the stride of x. */
typedef struct ActivationBackwardArguments {
    const void *x, *dy;
    void *dx;
    int64_t rows, cols, rows_per_program, x_stride, dy_stride;
    Activation kind;
    float factor;
} ActivationBackwardArguments;

#endif
