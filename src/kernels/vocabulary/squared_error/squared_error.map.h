/* The loss of a regression, one number per token. */
#include "tile/tile.h"
#include "kernels/vocabulary/squared_error/squared_error.h"
#include "tile/rows.h"

DEVICE float error_of(const SquaredErrorArguments a, int64_t row) {
    const element *y = (const element *)a.y + row * a.y_stride;
    return a.labels[row] < 0 ? 0.0f : to_float(*y) - a.value[row];
}

KERNEL(squared_error, SquaredErrorArguments) {
    const int64_t first = program_x * ERROR_ROWS, end = end_of_program(first, a.rows, ERROR_ROWS);
    EACH_SHORT_ROW (row, first, end, 1) {
        WARP_EACH(i, 1) {
            const float error = error_of(a, row);
            a.loss[row] = error * error;
        }
    }
}

KERNEL(squared_error_backward, SquaredErrorArguments) {
    const int64_t first = program_x * ERROR_ROWS, end = end_of_program(first, a.rows, ERROR_ROWS);
    EACH_SHORT_ROW (row, first, end, 1) {
        WARP_EACH(i, 1) {
            const float error = error_of(a, row);
            if (a.dy) ((element *)a.dy)[row * a.y_stride] = to_element(2.0f * error);
            if (a.dvalue) a.dvalue[row] = -2.0f * error;
        }
    }
}
