/* Arguments of the sum_of_squares kernel, shared by host and device. */
#ifndef FLAME_KERNELS_OPTIMIZER_SUM_OF_SQUARES_SUM_OF_SQUARES_H
#define FLAME_KERNELS_OPTIMIZER_SUM_OF_SQUARES_SUM_OF_SQUARES_H

#include <stdint.h>

enum { SQUARES_BLOCK = 8192 }; /* elements per program */

/* partial[p] = the sum in fp64 of x[i]^2 over block p. The caller adds these, in order. */
typedef struct SumOfSquaresArguments {
    const float *x;
    double *partial;
    int64_t count;
} SumOfSquaresArguments;

#endif
