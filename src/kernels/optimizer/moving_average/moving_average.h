/* Arguments of the moving_average kernel, shared by host and device. */
#ifndef FLAME_KERNELS_OPTIMIZER_MOVING_AVERAGE_MOVING_AVERAGE_H
#define FLAME_KERNELS_OPTIMIZER_MOVING_AVERAGE_MOVING_AVERAGE_H

#include <stdint.h>

enum { MOVING_AVERAGE_BLOCK = 4096 }; /* elements per program */

/* p = keep p + (1 - keep) x for `count` elements. */
typedef struct MovingAverageArguments {
    float *p;
    const float *x;
    int64_t count;
    float keep, one_minus_keep;
} MovingAverageArguments;

#endif
