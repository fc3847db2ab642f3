/* Arguments of the gated_skip kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_GATES_GATED_SKIP_GATED_SKIP_H
#define FLAME_KERNELS_GATES_GATED_SKIP_GATED_SKIP_H

#include <stdbool.h>
#include <stdint.h>

/* z = (y + D x) silu(gate) for rows of `heads` heads of `cols` columns. D has one number per head; by_column, there is
 * one head, and D has one number per column. */
typedef struct GatedSkipArguments {
    const void *y, *x, *D;
    const void *gate; /* NULL: factor 1 */
    void *z;
    int64_t rows, heads, cols, rows_per_program, y_stride, x_stride, gate_stride, z_stride;
    bool by_column;
} GatedSkipArguments;

/* dy = dz silu(gate), dx = D dy, dgate = dz (y + D x) silu'(gate), dD = sum over rows (and the head) of dy x.
 * Each gradient has the stride of its tensor. */
typedef struct GatedSkipBackwardArguments {
    const void *y, *x, *D, *gate, *dz;
    void *dy, *dx, *dgate;
    float *partial; /* parts of dD: [rows, heads], or by_column [programs, cols] */
    int64_t rows, heads, cols, rows_per_program, y_stride, x_stride, gate_stride, dz_stride;
    bool by_column;
} GatedSkipBackwardArguments;

#endif
