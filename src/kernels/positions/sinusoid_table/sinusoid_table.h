/* Arguments of the sinusoid_table kernel, shared by host and device. */
#ifndef FLAME_KERNELS_POSITIONS_SINUSOID_TABLE_SINUSOID_TABLE_H
#define FLAME_KERNELS_POSITIONS_SINUSOID_TABLE_SINUSOID_TABLE_H

#include <stdint.h>

/* y[p] = [sin(p f), cos(p f)], f_i = e^(-i step) for i < half. */
typedef struct SinusoidTableArguments {
    void *y;
    int64_t rows, half, rows_per_program;
    double step;
} SinusoidTableArguments;

#endif
