/* The product of two biased matrices; equations in biased_product.h. */
#include "tile/tile.h"
#include "kernels/products/biased_product/biased_product.h"
#include "tile/rows.h"

KERNEL(biased_product, BiasedProductArguments) {
    const element *x_bias = (const element *)a.x_bias, *y_bias = (const element *)a.y_bias;
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_GROUP (row, head, first, end, a.heads, a.cols) {
        const element *x = (const element *)a.x + row * a.x_stride + head * a.cols;
        const element *y = (const element *)a.y + row * a.y_stride + head * a.cols;
        element *z = (element *)a.z + row * a.z_stride + head * a.cols;
        VECTORS_OF(x_bias, y_bias, x, y, z);
        WARP_VECTOR(i, a.cols) {
            READ(left, x + i);
            READ(left_bias, x_bias + i);
            READ(right, y + i);
            READ(right_bias, y_bias + i);
            EACH_LANE(e) left[e] = (left[e] + left_bias[e]) * (right[e] + right_bias[e]);
            WRITE(z + i, left);
        }
    }
}

/* Programs: x over rows; y over columns of the heads. */
KERNEL(biased_product_backward, BiasedProductBackwardArguments) {
    COLUMNS(x_sums, 1, WARP_COLS);
    COLUMNS(y_sums, 1, WARP_COLS);
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    const int64_t from = program_y * WARP_COLS, cols = a.cols - from < WARP_COLS ? a.cols - from : WARP_COLS;
    const element *x_bias = (const element *)a.x_bias + from, *y_bias = (const element *)a.y_bias + from;
    columns_zero(x_sums, WARP_COLS, cols);
    columns_zero(y_sums, WARP_COLS, cols);
    EACH_GROUP (row, head, first, end, a.heads, cols) {
        const element *x = (const element *)a.x + row * a.x_stride + head * a.cols + from;
        const element *y = (const element *)a.y + row * a.y_stride + head * a.cols + from;
        const element *dz = (const element *)a.dz + row * a.dz_stride + head * a.cols + from;
        element *dx = (element *)a.dx + row * a.x_stride + head * a.cols + from;
        element *dy = (element *)a.dy + row * a.y_stride + head * a.cols + from;
        VECTORS_OF(x_bias, y_bias, x, y, dz, dx, dy);
        WARP_VECTOR(i, cols) {
            READ(left, x + i);
            READ(left_bias, x_bias + i);
            READ(right, y + i);
            READ(right_bias, y_bias + i);
            READ(d, dz + i);
            EACH_LANE(e) {
                left[e] = d[e] * (left[e] + left_bias[e]);
                right[e] = d[e] * (right[e] + right_bias[e]);
            }
            ADD_COLUMNS(x_sums, i, right);
            ADD_COLUMNS(y_sums, i, left);
            WRITE(dx + i, right);
            WRITE(dy + i, left);
        }
    }
    sync();
    float *partial_x = a.partial_x + program_x * a.cols + from, *partial_y = a.partial_y + program_x * a.cols + from;
    EACH_VECTOR(i, cols) {
        READ_TOTALS(x_total, x_sums, i, cols);
        READ_TOTALS(y_total, y_sums, i, cols);
        WRITE_F32(partial_x + i, x_total);
        WRITE_F32(partial_y + i, y_total);
    }
}
