/* y = silu(gate) * up (arXiv 2002.05202). */
#include "tile/tile.h"
#include "tile/rows.h"
#include "kernels/gates/swiglu/swiglu.h"

KERNEL(swiglu, SwigluArguments) {
    ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program) {
        const element *gate = (const element *)a.gate + row * a.gate_stride;
        const element *up = (const element *)a.up + row * a.up_stride;
        element *y = (element *)a.y + row * a.y_stride;
        EACH (i, a.cols) y[i] = to_element(silu_f(to_float(gate[i])) * to_float(up[i]));
    }
}

KERNEL(swiglu_backward, SwigluBackwardArguments) {
    ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program) {
        const element *gate = (const element *)a.gate + row * a.gate_stride;
        const element *up = (const element *)a.up + row * a.up_stride;
        const element *dy = (const element *)a.dy + row * a.dy_stride;
        element *dgate = (element *)a.dgate + row * a.gate_stride;
        element *dup = (element *)a.dup + row * a.up_stride;
        EACH (i, a.cols) {
            const float z = to_float(gate[i]), d = to_float(dy[i]);
            dgate[i] = to_element(d * to_float(up[i]) * silu_derivative_f(z));
            dup[i] = to_element(d * silu_f(z));
        }
    }
}
