/* Sums over groups of rows. */
#include "tile/tile.h"
#include "kernels/basic/column_sum/column_sum.h"

/* sums[i] += partial[i] + partial[stride + i] + ..., over `rows` rows: a constant, so that all are loaded at once. */
DEVICE void column_sum_step(float *sums, const float *partial, int64_t stride, int64_t cols, const int rows) {
    EACH (i, cols) {
        float sum = sums[i];
        TILE_UNROLL for (int r = 0; r < rows; r++) sum += partial[r * stride + i];
        sums[i] = sum;
    }
}

KERNEL(column_sum, ColumnSumArguments) {
    const int64_t col = program_x * COLUMN_SUM_COLS, row = program_y * a.group;
    const int64_t cols = a.cols - col < COLUMN_SUM_COLS ? a.cols - col : COLUMN_SUM_COLS;
    const int64_t rows = a.rows - row < a.group ? a.rows - row : a.group;
    const float *partial = a.partial + row * a.stride + col;
    float *sums = a.sums + program_y * a.cols + col;
    int64_t r = 0;
    if (!a.add)
        EACH (i, cols) sums[i] = 0;
    for (; r + COLUMN_SUM_STEP <= rows; r += COLUMN_SUM_STEP)
        column_sum_step(sums, partial + r * a.stride, a.stride, cols, COLUMN_SUM_STEP);
    for (; r < rows; r++) column_sum_step(sums, partial + r * a.stride, a.stride, cols, 1);
}
