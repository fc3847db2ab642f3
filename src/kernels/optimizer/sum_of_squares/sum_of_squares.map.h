/* Sums of squares, a block per program. */
#include "tile/tile.h"
#include "kernels/optimizer/sum_of_squares/sum_of_squares.h"

KERNEL(sum_of_squares, SumOfSquaresArguments) {
    const int64_t first = program_x * SQUARES_BLOCK, left = a.count - first;
    const float *x = a.x + first;
    double sum = 0;
    SUM_VECTOR(i, left < SQUARES_BLOCK ? left : SQUARES_BLOCK, sum) {
        READ_F32(value, x + i);
        EACH_LANE(e) sum += (double)value[e] * (double)value[e];
    }
    PROGRAM_SUM_F64(sum);
    EACH (i, 1) a.partial[program_x] = sum;
}
