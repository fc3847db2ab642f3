/* Numbers kept between two bounds; equations in clamp.h. */
#include "tile/tile.h"
#include "kernels/gates/clamp/clamp.h"
#include "tile/rows.h"

KERNEL(clamp, ClampArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_ROW (row, first, end) {
        const element *x = (const element *)a.x + row * a.x_stride;
        element *y = (element *)a.y + row * a.y_stride;
        VECTORS_OF(x, y);
        WARP_VECTOR(i, a.cols) {
            READ(value, x + i);
            EACH_LANE(e) {
                const float above = value[e] < a.low ? a.low : value[e];
                value[e] = above > a.high ? a.high : above;
            }
            WRITE(y + i, value);
        }
    }
}

KERNEL(clamp_backward, ClampArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_ROW (row, first, end) {
        const element *x = (const element *)a.x + row * a.x_stride;
        const element *dy = (const element *)a.dy + row * a.y_stride;
        element *dx = (element *)a.dx + row * a.x_stride;
        VECTORS_OF(x, dy, dx);
        WARP_VECTOR(i, a.cols) {
            READ(value, x + i);
            READ(d, dy + i);
            EACH_LANE(e) d[e] = (value[e] >= a.low) & (value[e] <= a.high) ? d[e] : 0.0f;
            WRITE(dx + i, d);
        }
    }
}
