/* z = x + y. */
#include "tile/tile.h"
#include "core/add.h"
#include "tile/rows.h"

KERNEL(add, AddArguments) {
    ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program) {
        const element *x = (const element *)a.x + row * a.x_stride;
        const element *y = (const element *)a.y + row * a.y_stride;
        element *z = (element *)a.z + row * a.z_stride;
        EACH (i, a.cols) z[i] = to_element(to_float(x[i]) + to_float(y[i]));
    }
}
