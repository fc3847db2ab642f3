/* Arguments of the log_sigmoid_gate kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_GATES_LOG_SIGMOID_GATE_LOG_SIGMOID_GATE_H
#define FLAME_KERNELS_GATES_LOG_SIGMOID_GATE_LOG_SIGMOID_GATE_H

#include <stdint.h>

/* g = max(log sigmoid(x + bias) * factor, clamp_min), fp32. */
typedef struct LogSigmoidGateArguments {
    const void *x, *bias; /* bias [cols], may be NULL */
    float *g;
    int64_t rows, cols, rows_per_program, x_stride, g_stride;
    float factor, clamp_min;
} LogSigmoidGateArguments;

/* dx = dg * factor * sigmoid(-(x + bias)) where g is not clamped, else 0; dbias = sum over rows of dx. */
typedef struct LogSigmoidGateBackwardArguments {
    const void *x, *bias;
    const float *dg;
    void *dx;
    float *partial; /* [programs over rows, cols] parts of dbias */
    int64_t rows, cols, rows_per_program, x_stride, dg_stride;
    float factor, clamp_min;
} LogSigmoidGateBackwardArguments;

#endif
