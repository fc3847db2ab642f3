/* Sums of squares, a block per program. */
#include "tile/tile.h"
#include "kernels/optimizer/sum_of_squares/sum_of_squares.h"

KERNEL(sum_of_squares, SumOfSquaresArguments) {
    const int64_t first = program_x * SQUARES_BLOCK, left = a.count - first;
    const int64_t count = left < SQUARES_BLOCK ? left : SQUARES_BLOCK;
    const float *x = a.x + first;
    double *partial = a.partial + program_x * SQUARES_LANES;
    EACH (l, SQUARES_LANES) partial[l] = 0;
    for (int64_t i = 0; i < count; i += SQUARES_LANES)
        EACH (l, SQUARES_LANES) partial[l] += (double)x[i + l] * (double)x[i + l];
}
