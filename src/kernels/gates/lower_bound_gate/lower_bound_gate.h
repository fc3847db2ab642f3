/* Arguments of the lower_bound_gate kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_GATES_LOWER_BOUND_GATE_LOWER_BOUND_GATE_H
#define FLAME_KERNELS_GATES_LOWER_BOUND_GATE_LOWER_BOUND_GATE_H

#include <stdint.h>

enum { LOWER_BOUND_COLS = 256 }; /* columns per program of the kernels over columns */

/* bound = the sum of softmax(bounds, over layers) over layers 1 .. layer; layer >= 1. */
typedef struct LowerBoundArguments {
    const void *bounds; /* [layers, cols] */
    float *bound;       /* [cols] */
    int64_t layers, layer, cols;
} LowerBoundArguments;

/* f = bound + (1 - bound) sigmoid(x); g = log f, fp32; gated = (1 - f) silu(input). */
typedef struct LowerBoundGateArguments {
    const void *x;
    const void *input;  /* NULL: gated = 1 - f */
    const float *bound; /* [cols]; NULL: 0 */
    float *g;
    void *gated;
    int64_t rows, cols, rows_per_program, x_stride, input_stride, g_stride, gated_stride;
} LowerBoundGateArguments;

/* With s = sigmoid(x) and df = dg / f - dgated silu(input): dx = df (1 - bound) s (1 - s), dbound = sum over rows of
 * df (1 - s), dinput = dgated (1 - f) silu'(input). Each gradient has the stride of its tensor. */
typedef struct LowerBoundGateBackwardArguments {
    const void *x, *input, *dgated;
    const float *bound, *dg;
    void *dx, *dinput;
    float *partial; /* [programs over rows, cols] parts of dbound */
    int64_t rows, cols, rows_per_program, x_stride, input_stride, dg_stride, dgated_stride;
} LowerBoundGateBackwardArguments;

/* gradient[l] += P_l (dbound [1 <= l <= layer] - dbound bound), P = softmax(bounds, over layers). */
typedef struct LowerBoundBackwardArguments {
    const void *bounds;
    const float *bound, *partial; /* partial [partial_rows, cols] */
    float *gradient;              /* [layers, cols] */
    int64_t layers, layer, cols, partial_rows;
} LowerBoundBackwardArguments;

#endif
