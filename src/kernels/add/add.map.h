/* z = x + y, one row per program. */
#include "kernels/tile.h"
#include "kernels/add/add.h"

KERNEL(add, AddArguments) {
    const element *x = (const element *)a.x + program_x * a.x_stride;
    const element *y = (const element *)a.y + program_x * a.y_stride;
    element *z = (element *)a.z + program_x * a.z_stride;
    EACH(i, a.cols) z[i] = to_element(to_float(x[i]) + to_float(y[i]));
}
