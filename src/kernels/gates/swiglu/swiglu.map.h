/* y = silu(gate) * up (arXiv 2002.05202). */
#include "tile/tile.h"
#include "tile/rows.h"
#include "kernels/gates/swiglu/swiglu.h"

KERNEL(swiglu, SwigluArguments) {
    const int64_t first = program_x * a.rows_per_program;
    EACH_ROW (row, first, end_of_program(first, a.rows, a.rows_per_program)) {
        const element *gate = (const element *)a.gate + row * a.gate_stride;
        const element *up = (const element *)a.up + row * a.up_stride;
        element *y = (element *)a.y + row * a.y_stride;
        VECTORS_OF(gate, up, y);
        WARP_VECTOR(i, a.cols) {
            READ(z, gate + i);
            READ(u, up + i);
            EACH_LANE(e) z[e] = silu_f(z[e]) * u[e];
            WRITE(y + i, z);
        }
    }
}

KERNEL(swiglu_backward, SwigluBackwardArguments) {
    const int64_t first = program_x * a.rows_per_program;
    EACH_ROW (row, first, end_of_program(first, a.rows, a.rows_per_program)) {
        const element *gate = (const element *)a.gate + row * a.gate_stride;
        const element *up = (const element *)a.up + row * a.up_stride;
        const element *dy = (const element *)a.dy + row * a.dy_stride;
        element *dgate = (element *)a.dgate + row * a.gate_stride;
        element *dup = (element *)a.dup + row * a.up_stride;
        VECTORS_OF(gate, up, dy, dgate, dup);
        WARP_VECTOR(i, a.cols) {
            READ(z, gate + i);
            READ(u, up + i);
            READ(d, dy + i);
            float dz[VECTOR];
            EACH_LANE(e) {
                dz[e] = d[e] * u[e] * silu_derivative_f(z[e]);
                d[e] *= silu_f(z[e]);
            }
            WRITE(dgate + i, dz);
            WRITE(dup + i, d);
        }
    }
}
