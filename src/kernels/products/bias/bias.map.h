/* y = x + bias. */
#include "tile/tile.h"
#include "kernels/products/bias/bias.h"
#include "tile/rows.h"

KERNEL(bias, BiasArguments) {
    const element *bias = (const element *)a.bias;
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_ROW (row, first, end) {
        const element *x = (const element *)a.x + row * a.x_stride;
        element *y = (element *)a.y + row * a.y_stride;
        VECTORS_OF(bias, x, y);
        WARP_VECTOR(i, a.cols) {
            READ(value, x + i);
            READ(b, bias + i);
            EACH_LANE(e) value[e] += b[e];
            WRITE(y + i, value);
        }
    }
}

/* Programs: x over rows, y over columns. */
KERNEL(bias_backward, BiasBackwardArguments) {
    COLUMNS(sums, 1, WARP_COLS);
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    const int64_t from = program_y * WARP_COLS, cols = a.cols - from < WARP_COLS ? a.cols - from : WARP_COLS;
    columns_zero(sums, WARP_COLS, cols);
    EACH_SHORT_ROW (row, first, end, cols) {
        const element *dy = (const element *)a.dy + row * a.dy_stride + from;
        VECTORS_OF(dy);
        WARP_VECTOR(i, cols) {
            READ(d, dy + i);
            ADD_COLUMNS(sums, i, d);
        }
    }
    sync();
    float *partial = a.partial + program_x * a.cols + from;
    EACH_VECTOR(i, cols) {
        READ_TOTALS(total, sums, i, cols);
        WRITE_F32(partial + i, total);
    }
}
