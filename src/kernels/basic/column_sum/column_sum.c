#include "kernels/basic/column_sum/column_sum.h"

#include "tile/rows.h"

/* Up to DIRECT rows are added to the gradient. More become one row of sums per GROUP rows first, because a GPU needs
 * programs, and because a launch costs more than the sum of a few rows. */
enum { GROUP = 32, DIRECT = 64 };

static void launch(const Tape *tape, ColumnSumArguments arguments) {
    const Grid grid = {blocks_of(arguments.cols, COLUMN_SUM_COLS), blocks_of(arguments.rows, arguments.group), 1};
    tape->device->launch(KERNEL_column_sum, tape->type, grid, &arguments);
}

void column_sum(Tape *tape, const float *partial, int64_t rows, const Tensor *parameter) {
    if (!parameter->gradient) return;
    const int64_t cols = parameter->rows * parameter->cols;
    while (rows > DIRECT) {
        const int64_t groups = blocks_of(rows, GROUP);
        float *sums = tape_workspace(tape, groups * cols * dtype_size(F32));
        launch(tape, (ColumnSumArguments){partial, sums, rows, cols, GROUP, false});
        partial = sums;
        rows = groups;
    }
    launch(tape, (ColumnSumArguments){partial, parameter->gradient, rows, cols, rows, true});
}
