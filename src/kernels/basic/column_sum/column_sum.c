#include "kernels/basic/column_sum/column_sum.h"

#include "tile/rows.h"

/* Up to DIRECT rows are added to the gradient directly, because a launch costs more than the sum of a few rows. More
 * are first reduced to one row of sums per GROUP rows, because a GPU needs many programs. */
enum { GROUP = 32, DIRECT = 64 };

static void launch(const Tape *tape, ColumnSumArguments arguments) {
    const Grid grid = {blocks_of(arguments.cols, COLUMN_SUM_COLS), blocks_of(arguments.rows, arguments.group), 1};
    tape->device->launch(KERNEL_column_sum, tape->type, grid, &arguments);
}

static int64_t size_of(const Tensor *parameter) { return parameter->rows * parameter->cols; }

/* Adds the sums to the gradients. Gradients that follow each other in memory are added to in one launch. */
static void add_to_gradients(Tape *tape, ColumnSumArguments arguments, Tensor *const parameter[], int count) {
    for (int i = 0; i < count;) {
        const Tensor *first = parameter[i];
        int64_t cols = size_of(first);
        for (i++; first->gradient && i < count && parameter[i]->gradient == (float *)first->gradient + cols; i++)
            cols += size_of(parameter[i]);
        arguments.sums = first->gradient;
        arguments.cols = cols;
        if (arguments.sums) launch(tape, arguments);
        arguments.partial += cols;
    }
}

void column_sums(Tape *tape, const float *partial, int64_t rows, Tensor *const parameter[], int count) {
    int64_t cols = 0;
    bool wanted = false;
    for (int i = 0; i < count; i++) {
        cols += size_of(parameter[i]);
        wanted |= parameter[i]->gradient != NULL;
    }
    if (!wanted) return;
    while (rows > DIRECT) {
        const int64_t groups = blocks_of(rows, GROUP);
        float *sums = tape_workspace(tape, groups * cols * dtype_size(F32));
        launch(tape, (ColumnSumArguments){partial, sums, rows, cols, cols, GROUP, false});
        partial = sums;
        rows = groups;
    }
    add_to_gradients(tape, (ColumnSumArguments){partial, NULL, rows, 0, cols, rows, true}, parameter, count);
}

void column_sum(Tape *tape, const float *partial, int64_t rows, const Tensor *parameter) {
    column_sums(tape, partial, rows, (Tensor *[]){(Tensor *)parameter}, 1);
}
