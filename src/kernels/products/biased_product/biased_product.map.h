/* The product of two biased matrices; equations in biased_product.h. */
#include "tile/tile.h"
#include "kernels/products/biased_product/biased_product.h"
#include "tile/rows.h"

KERNEL(biased_product, BiasedProductArguments) {
    const element *x_bias = (const element *)a.x_bias, *y_bias = (const element *)a.y_bias;
    ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program) {
        for (int64_t head = 0; head < a.heads; head++) {
            const element *x = (const element *)a.x + row * a.x_stride + head * a.cols;
            const element *y = (const element *)a.y + row * a.y_stride + head * a.cols;
            element *z = (element *)a.z + row * a.z_stride + head * a.cols;
            EACH (i, a.cols)
                z[i] = to_element((to_float(x[i]) + to_float(x_bias[i])) * (to_float(y[i]) + to_float(y_bias[i])));
        }
    }
}

DEVICE void biased_product_backward_head(const BiasedProductBackwardArguments a, float *partial_x, float *partial_y,
                                         int64_t row, int64_t head) {
    const element *x_bias = (const element *)a.x_bias, *y_bias = (const element *)a.y_bias;
    const element *x = (const element *)a.x + row * a.x_stride + head * a.cols;
    const element *y = (const element *)a.y + row * a.y_stride + head * a.cols;
    const element *dz = (const element *)a.dz + row * a.dz_stride + head * a.cols;
    element *dx = (element *)a.dx + row * a.x_stride + head * a.cols;
    element *dy = (element *)a.dy + row * a.y_stride + head * a.cols;
    EACH (i, a.cols) {
        const float x_part = to_float(dz[i]) * (to_float(y[i]) + to_float(y_bias[i]));
        const float y_part = to_float(dz[i]) * (to_float(x[i]) + to_float(x_bias[i]));
        partial_x[i] += x_part;
        partial_y[i] += y_part;
        dx[i] = to_element(x_part);
        dy[i] = to_element(y_part);
    }
}

/* PARTIAL_ROWS rows per program. */
KERNEL(biased_product_backward, BiasedProductBackwardArguments) {
    float *partial_x = a.partial_x + program_x * a.cols, *partial_y = a.partial_y + program_x * a.cols;
    EACH (i, a.cols) {
        partial_x[i] = 0;
        partial_y[i] = 0;
    }
    ROWS_OF_PROGRAM (row, a.rows, PARTIAL_ROWS)
        for (int64_t head = 0; head < a.heads; head++) biased_product_backward_head(a, partial_x, partial_y, row, head);
}
