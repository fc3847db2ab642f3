/* Adds sines and cosines of the position to each row. */
#include "tile/tile.h"
#include "kernels/positions/sinusoid/sinusoid.h"
#include "tile/rows.h"

KERNEL(sinusoid, SinusoidArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_ROW (row, first, end) {
        const float *cosines = a.table + (a.entry ? a.entry[row] : row) * 2 * a.half, *sines = cosines + a.half;
        const element *x = (const element *)a.x + row * a.x_stride;
        element *y = (element *)a.y + row * a.y_stride;
        VECTORS_OF(cosines, sines, x, x + a.half, y, y + a.half);
        WARP_VECTOR(i, a.half) {
            READ(x1, x + i);
            READ(x2, x + a.half + i);
            READ_F32(c, cosines + i);
            READ_F32(s, sines + i);
            EACH_LANE(e) x1[e] += s[e];
            EACH_LANE(e) x2[e] += c[e];
            WRITE(y + i, x1);
            WRITE(y + a.half + i, x2);
        }
    }
}
