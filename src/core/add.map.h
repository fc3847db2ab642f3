/* z = x + y. */
#include "tile/tile.h"
#include "core/add.h"
#include "tile/rows.h"

KERNEL(add, AddArguments) {
    const int64_t first = program_x * a.rows_per_program;
    EACH_ROW (row, first, end_of_program(first, a.rows, a.rows_per_program)) {
        const element *x = (const element *)a.x + row * a.x_stride;
        const element *y = (const element *)a.y + row * a.y_stride;
        element *z = (element *)a.z + row * a.z_stride;
        VECTORS_OF(x, y, z);
        WARP_VECTOR(i, a.cols) {
            READ(sum, x + i);
            READ(other, y + i);
            EACH_LANE(e) sum[e] += other[e];
            WRITE(z + i, sum);
        }
    }
}
