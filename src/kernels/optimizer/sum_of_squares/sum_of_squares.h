/* Arguments of the sum_of_squares kernel, shared by host and device. */
#ifndef FLAME_KERNELS_OPTIMIZER_SUM_OF_SQUARES_SUM_OF_SQUARES_H
#define FLAME_KERNELS_OPTIMIZER_SUM_OF_SQUARES_SUM_OF_SQUARES_H

#include <stdint.h>

enum { SQUARES_BLOCK = 16384, SQUARES_LANES = 32 };

/* partial[p * SQUARES_LANES + l] = sum of x[i]^2 in fp64 over i = l mod SQUARES_LANES of block p. count is a multiple
 * of SQUARES_LANES. The caller adds the partial sums in order: the result does not depend on how many threads there
 * are. */
typedef struct SumOfSquaresArguments {
    const float *x;
    double *partial;
    int64_t count;
} SumOfSquaresArguments;

#endif
