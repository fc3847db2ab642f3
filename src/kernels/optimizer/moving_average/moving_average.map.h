/* The update of a buffer, a block per program. */
#include "tile/tile.h"
#include "kernels/optimizer/moving_average/moving_average.h"

KERNEL(moving_average, MovingAverageArguments) {
    const int64_t first = program_x * MOVING_AVERAGE_BLOCK, left = a.count - first;
    float *p = a.p + first;
    const float *x = a.x + first;
    EACH_VECTOR(i, left < MOVING_AVERAGE_BLOCK ? left : MOVING_AVERAGE_BLOCK) {
        READ_F32(pi, p + i);
        READ_F32(xi, x + i);
        EACH_LANE(e) pi[e] = a.keep * pi[e] + a.one_minus_keep * xi[e];
        WRITE_F32(p + i, pi);
    }
}
