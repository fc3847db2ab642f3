/* Rotary position embedding (arXiv 2104.09864). A pair is an entry of a head's first half and the one at the same place
 * of its second half. */
#include "tile/tile.h"
#include "kernels/positions/rotary/rotary.h"
#include "tile/rows.h"

/* ROTARY_POSITIONS positions per program. */
KERNEL(rotary_table, RotaryTableArguments) {
    const int64_t first = program_x * ROTARY_POSITIONS;
    EACH_ROW (n, first, end_of_program(first, a.entries, ROTARY_POSITIONS)) {
        const double p = (double)(a.position ? a.position[n] : n);
        float *cosines = a.table + n * 2 * a.half, *sines = cosines + a.half;
        WARP_EACH(i, a.half) sine_and_cosine(p * a.frequency[i], &sines[i], &cosines[i]);
    }
}

KERNEL(rotary, RotaryArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_GROUP (row, head, first, end, a.heads, a.half) {
        const float *cosines = a.table + (a.entry ? a.entry[row] : row) * 2 * a.half, *sines = cosines + a.half;
        const element *x = (const element *)a.x + row * a.x_stride + head * 2 * a.half;
        element *y = (element *)a.y + row * a.y_stride + head * 2 * a.half;
        VECTORS_OF(cosines, sines, x, x + a.half, y, y + a.half);
        WARP_VECTOR(i, a.half) {
            READ(x1, x + i);
            READ(x2, x + a.half + i);
            READ_F32(c, cosines + i);
            READ_F32(s, sines + i);
            float y1[VECTOR], y2[VECTOR];
            EACH_LANE(e) {
                const float sine = a.direction * s[e];
                y1[e] = x1[e] * c[e] - x2[e] * sine;
                y2[e] = x1[e] * sine + x2[e] * c[e];
            }
            WRITE(y + i, y1);
            WRITE(y + a.half + i, y2);
        }
    }
}
