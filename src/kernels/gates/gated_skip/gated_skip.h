/* Arguments of the gated_skip kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_GATES_GATED_SKIP_GATED_SKIP_H
#define FLAME_KERNELS_GATES_GATED_SKIP_GATED_SKIP_H

#include <stdint.h>

/* z = (y + D x) silu(gate), D [cols]. */
typedef struct GatedSkipArguments {
    const void *y, *x, *D;
    const void *gate; /* NULL: factor 1 */
    void *z;
    int64_t rows, cols, rows_per_program, y_stride, x_stride, gate_stride, z_stride;
} GatedSkipArguments;

/* dy = dz silu(gate), dx = D dy, dgate = dz (y + D x) silu'(gate), dD = sum over rows of dy x. Each gradient has the
 * stride of its tensor. */
typedef struct GatedSkipBackwardArguments {
    const void *y, *x, *D, *gate, *dz;
    void *dy, *dx, *dgate;
    float *partial; /* [programs, cols] parts of dD */
    int64_t rows, cols, rows_per_program, y_stride, x_stride, gate_stride, dz_stride;
} GatedSkipBackwardArguments;

#endif
