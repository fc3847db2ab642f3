/* Arguments of the sinusoid kernel, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_POSITIONS_SINUSOID_SINUSOID_H
#define FLAME_KERNELS_POSITIONS_SINUSOID_SINUSOID_H

#include <stdint.h>

/* y[d] = x[d] + sine_d, y[d + half] = x[d + half] + cosine_d, with the sines and cosines of the row's position. */
typedef struct SinusoidArguments {
    const void *x;
    const float *table;   /* of rotary_table */
    const int32_t *entry; /* as in RotaryArguments */
    void *y;
    int64_t rows, half, rows_per_program, x_stride, y_stride;
} SinusoidArguments;

#endif
