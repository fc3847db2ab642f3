/* z = x + (y - x) * w and its gradients. */
#include "tile/tile.h"
#include "kernels/gates/lerp/lerp.h"
#include "tile/rows.h"

KERNEL(lerp, LerpArguments) {
    const int64_t first = program_x * a.rows_per_program;
    EACH_ROW (row, first, end_of_program(first, a.rows, a.rows_per_program)) {
        const element *x = (const element *)a.x + row * a.x_stride;
        const element *y = (const element *)a.y + row * a.y_stride;
        const element *w = (const element *)a.w + row * a.w_stride;
        element *z = (element *)a.z + row * a.z_stride;
        VECTORS_OF(x, y, w, z);
        WARP_VECTOR(i, a.cols) {
            READ(u, x + i);
            READ(v, y + i);
            READ(weight, w + i);
            EACH_LANE(e) u[e] += (v[e] - u[e]) * weight[e];
            WRITE(z + i, u);
        }
    }
}

KERNEL(lerp_backward, LerpArguments) {
    const int64_t first = program_x * a.rows_per_program;
    EACH_ROW (row, first, end_of_program(first, a.rows, a.rows_per_program)) {
        const element *x = (const element *)a.x + row * a.x_stride;
        const element *y = (const element *)a.y + row * a.y_stride;
        const element *w = (const element *)a.w + row * a.w_stride;
        const element *dz = (const element *)a.dz + row * a.z_stride;
        element *dx = (element *)a.dx + row * a.x_stride;
        element *dy = (element *)a.dy + row * a.y_stride;
        element *dw = (element *)a.dw + row * a.w_stride;
        VECTORS_OF(x, y, w, dz, dx, dy, dw);
        WARP_VECTOR(i, a.cols) {
            READ(u, x + i);
            READ(v, y + i);
            READ(weight, w + i);
            READ(d, dz + i);
            EACH_LANE(e) {
                u[e] = d[e] * (v[e] - u[e]);
                v[e] = d[e] * weight[e];
                d[e] *= 1.0f - weight[e];
            }
            WRITE(dx + i, d);
            WRITE(dy + i, v);
            WRITE(dw + i, u);
        }
    }
}
