/* The kinds of activation and the arguments of their kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_ACTIVATION_H
#define FLAME_KERNELS_ACTIVATION_H

#include <stdint.h>

typedef enum Activation {
    ACTIVATION_SILU,
    ACTIVATION_RELU,
    ACTIVATION_SIGMOID,
    ACTIVATION_ONE_PLUS_ELU, /* 1 + x above 0, e^x below */
    ACTIVATIONS
} Activation;

/* activation: y = f(x). sigmoid_gate: y = factor * sigmoid(x), y in fp32. */
typedef struct ActivationArguments {
    const void *x;
    void *y;
    int64_t rows, cols, rows_per_program, x_stride, y_stride;
    Activation kind;
    float factor;
} ActivationArguments;

/* dx = dy * f'(x), or dy * factor * sigmoid'(x). dy is of y's type; dx has the stride of x. */
typedef struct ActivationBackwardArguments {
    const void *x, *dy;
    void *dx;
    int64_t rows, cols, rows_per_program, x_stride, dy_stride;
    Activation kind;
    float factor;
} ActivationBackwardArguments;

#endif
