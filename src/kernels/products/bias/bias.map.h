/* y = x + bias. */
#include "tile/tile.h"
#include "kernels/products/bias/bias.h"
#include "tile/rows.h"

KERNEL(bias, BiasArguments) {
    const element *bias = (const element *)a.bias;
    ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program) {
        const element *x = (const element *)a.x + row * a.x_stride;
        element *y = (element *)a.y + row * a.y_stride;
        EACH (i, a.cols) y[i] = to_element(to_float(x[i]) + to_float(bias[i]));
    }
}

/* PARTIAL_ROWS rows per program. */
KERNEL(bias_backward, BiasBackwardArguments) {
    float *partial = a.partial + program_x * a.cols;
    EACH (i, a.cols) partial[i] = 0;
    ROWS_OF_PROGRAM (row, a.rows, PARTIAL_ROWS) {
        const element *dy = (const element *)a.dy + row * a.dy_stride;
        EACH (i, a.cols) partial[i] += to_float(dy[i]);
    }
}
