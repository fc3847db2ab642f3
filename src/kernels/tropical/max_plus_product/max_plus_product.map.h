/* Products in which maxima are sums and sums are products; equations in max_plus_product.h. */
#include "tile/tile.h"
#include "kernels/tropical/max_plus_product/max_plus_product.h"
#include "tile/rows.h"

KERNEL(max_plus_product, MaxPlusArguments) {
    const element *w = (const element *)a.w;
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_GROUP (row, head, first, end, a.heads, a.outs) {
        const element *x = (const element *)a.x + row * a.x_stride + head * a.cols;
        element *y = (element *)a.y + row * a.y_stride + head * a.outs;
        int32_t *choice = a.choice + row * a.choice_stride + head * a.outs;
        WARP_EACH(j, a.outs) {
            float largest = -INFINITY;
            int32_t at = 0;
            for (int64_t i = 0; i < a.cols; i++) {
                const float sum = to_float(x[i]) + to_float(w[i * a.outs + j]);
                at = sum > largest ? (int32_t)i : at;
                largest = sum > largest ? sum : largest;
            }
            y[j] = to_element(largest);
            choice[j] = at;
        }
    }
}

KERNEL(max_plus_product_rows, MaxPlusArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_GROUP (row, head, first, end, a.heads, a.cols) {
        const element *dy = (const element *)a.dy + row * a.y_stride + head * a.outs;
        const int32_t *choice = a.choice + row * a.choice_stride + head * a.outs;
        element *dx = (element *)a.dx + row * a.x_stride + head * a.cols;
        WARP_EACH(i, a.cols) {
            float sum = 0;
            for (int64_t j = 0; j < a.outs; j++) sum += choice[j] == i ? to_float(dy[j]) : 0.0f;
            dx[i] = to_element(sum);
        }
    }
}

/* A thread has the columns of the partial sums that it adds to. */
KERNEL(max_plus_product_weight, MaxPlusArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    float *partial = a.partial + program_x * a.cols * a.outs;
    EACH (j, a.outs) {
        for (int64_t i = 0; i < a.cols; i++) partial[i * a.outs + j] = 0;
        for (int64_t n = first * a.heads; n < end * a.heads; n++) {
            const int64_t row = n / a.heads, at = n % a.heads * a.outs + j;
            partial[a.choice[row * a.choice_stride + at] * a.outs + j] +=
                to_float(((const element *)a.dy)[row * a.y_stride + at]);
        }
    }
}
