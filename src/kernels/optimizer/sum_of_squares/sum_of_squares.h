/* Arguments of the sum_of_squares kernel, shared by host and device. */
#ifndef FLAME_KERNELS_OPTIMIZER_SUM_OF_SQUARES_SUM_OF_SQUARES_H
#define FLAME_KERNELS_OPTIMIZER_SUM_OF_SQUARES_SUM_OF_SQUARES_H

#include <stdint.h>

enum { SQUARES_BLOCK = 8192 }; /* elements per program */

/* partial[p] = the sum of x[i]^2 over block p, in fp64. The caller adds these up in order. */
typedef struct SumOfSquaresArguments {
    const float *x;
    double *partial;
    int64_t count;
} SumOfSquaresArguments;

#endif
