/* A multiple of a matrix. */
#include "tile/tile.h"
#include "kernels/gates/scale/scale.h"
#include "tile/rows.h"

KERNEL(scale, ScaleArguments) {
    const int64_t first = program_x * a.rows_per_program;
    EACH_ROW (row, first, end_of_program(first, a.rows, a.rows_per_program)) {
        const element *x = (const element *)a.x + row * a.x_stride;
        element *y = (element *)a.y + row * a.y_stride;
        VECTORS_OF(x, y);
        WARP_VECTOR(i, a.cols) {
            READ(value, x + i);
            EACH_LANE(e) value[e] *= a.factor;
            WRITE(y + i, value);
        }
    }
}
