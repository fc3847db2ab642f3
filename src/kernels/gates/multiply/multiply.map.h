/* z = x * y and its gradients. */
#include "tile/tile.h"
#include "kernels/gates/multiply/multiply.h"
#include "tile/rows.h"

KERNEL(multiply, MultiplyArguments) {
    const int64_t first = program_x * a.rows_per_program;
    EACH_ROW (row, first, end_of_program(first, a.rows, a.rows_per_program)) {
        const element *x = (const element *)a.x + row * a.x_stride;
        const element *y = (const element *)a.y + row * a.y_stride;
        element *z = (element *)a.z + row * a.z_stride;
        VECTORS_OF(x, y, z);
        WARP_VECTOR(i, a.cols) {
            READ(product, x + i);
            READ(other, y + i);
            EACH_LANE(e) product[e] *= other[e];
            WRITE(z + i, product);
        }
    }
}

KERNEL(multiply_backward, MultiplyArguments) {
    const int64_t first = program_x * a.rows_per_program;
    EACH_ROW (row, first, end_of_program(first, a.rows, a.rows_per_program)) {
        const element *x = (const element *)a.x + row * a.x_stride;
        const element *y = (const element *)a.y + row * a.y_stride;
        const element *dz = (const element *)a.dz + row * a.z_stride;
        element *dx = (element *)a.dx + row * a.x_stride;
        element *dy = (element *)a.dy + row * a.y_stride;
        VECTORS_OF(x, y, dz, dx, dy);
        WARP_VECTOR(i, a.cols) {
            READ(u, x + i);
            READ(v, y + i);
            READ(d, dz + i);
            EACH_LANE(e) {
                u[e] *= d[e];
                v[e] *= d[e];
            }
            WRITE(dx + i, v);
            WRITE(dy + i, u);
        }
    }
}
