/* gradient += column sums of partial, COLUMN_SUM_COLS columns per program. */
#include "tile/tile.h"
#include "kernels/basic/column_sum/column_sum.h"

KERNEL(column_sum, ColumnSumArguments) {
    const int64_t first = program_x * COLUMN_SUM_COLS;
    const int64_t cols = a.cols - first < COLUMN_SUM_COLS ? a.cols - first : COLUMN_SUM_COLS;
    float *gradient = a.gradient + first;
    for (int64_t r = 0; r < a.rows; r++) {
        const float *partial = a.partial + r * a.cols + first;
        EACH (i, cols) gradient[i] += partial[i];
    }
}
