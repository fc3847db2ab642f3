/* Products in the max-plus semiring; equations in max_plus_product.h. */
#include "tile/tile.h"
#include "kernels/tropical/max_plus_product/max_plus_product.h"
#include "tile/rows.h"

KERNEL(max_plus_product, MaxPlusArguments) {
    VECTOR(largest, MAX_PLUS_COLS);
    VECTOR(at, MAX_PLUS_COLS);
    const element *w = (const element *)a.w;
    ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program) {
        const element *x = (const element *)a.x + row * a.x_stride + program_y * a.cols;
        element *y = (element *)a.y + row * a.y_stride + program_y * a.outs;
        int32_t *choice = a.choice + row * a.choice_stride + program_y * a.outs;
        EACH (j, a.outs) {
            largest[j] = -INFINITY;
            at[j] = 0;
        }
        for (int64_t i = 0; i < a.cols; i++) {
            const float entry = (float)i, x_i = to_float(x[i]);
            EACH (j, a.outs) {
                const float sum = x_i + to_float(w[i * a.outs + j]);
                at[j] = sum > largest[j] ? entry : at[j];
                largest[j] = sum > largest[j] ? sum : largest[j];
            }
        }
        EACH (j, a.outs) {
            y[j] = to_element(largest[j]);
            choice[j] = (int32_t)at[j];
        }
    }
}

KERNEL(max_plus_product_rows, MaxPlusArguments) {
    VECTOR(sum, MAX_PLUS_COLS);
    ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program) {
        const element *dy = (const element *)a.dy + row * a.y_stride + program_y * a.outs;
        const int32_t *choice = a.choice + row * a.choice_stride + program_y * a.outs;
        element *dx = (element *)a.dx + row * a.x_stride + program_y * a.cols;
        EACH (i, a.cols) sum[i] = 0;
        for (int64_t j = 0; j < a.outs; j++) {
            const float d = to_float(dy[j]);
            const int32_t chosen = choice[j];
            EACH (i, a.cols) sum[i] += chosen == (int32_t)i ? d : 0.0f;
        }
        EACH (i, a.cols) dx[i] = to_element(sum[i]);
    }
}

/* Each thread adds to columns of the partial sums of its own. */
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
