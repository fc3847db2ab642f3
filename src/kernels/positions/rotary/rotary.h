/* Arguments of the rotary kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_POSITIONS_ROTARY_ROTARY_H
#define FLAME_KERNELS_POSITIONS_ROTARY_ROTARY_H

#include <stdint.h>

enum { ROTARY_HALF = 256, ROTARY_POSITIONS = 8 /* per program of the table */ };

/* table[p] = cos(p * frequency[0 .. half - 1]), then the sines; p < positions. */
typedef struct RotaryTableArguments {
    float *table; /* [positions, 2, half] */
    int64_t positions, half;
    double frequency[ROTARY_HALF];
} RotaryTableArguments;

/* For each head, d < half, and p the row's position: y[d] = x[d] cos - x[d + half] sin,
 * y[d + half] = x[d] sin + x[d + half] cos. direction = -1 rotates back. */
typedef struct RotaryArguments {
    const void *x;
    const float *table;
    const int32_t *position;
    void *y;
    int64_t rows, heads, half, rows_per_program, x_stride, y_stride;
    float direction;
} RotaryArguments;

#endif
