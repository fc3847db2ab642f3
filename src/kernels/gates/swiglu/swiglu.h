/* Arguments of the swiglu kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_GATES_SWIGLU_SWIGLU_H
#define FLAME_KERNELS_GATES_SWIGLU_SWIGLU_H

#include <stdint.h>

/* y = silu(gate) * up. */
typedef struct SwigluArguments {
    const void *gate, *up;
    void *y;
    int64_t rows, cols, rows_per_program, gate_stride, up_stride, y_stride;
} SwigluArguments;

/* dgate = dy * up * silu'(gate), dup = dy * silu(gate). The gradients have the strides of their tensors. */
typedef struct SwigluBackwardArguments {
    const void *gate, *up, *dy;
    void *dgate, *dup;
    int64_t rows, cols, rows_per_program, gate_stride, up_stride, dy_stride;
} SwigluBackwardArguments;

#endif
