#include "kernels/basic/column_sum/column_sum.h"

#include "tile/rows.h"

void column_sum(const Device *device, const float *partial, int64_t rows, const Tensor *parameter) {
    if (!parameter->gradient) return;
    const ColumnSumArguments arguments = {
        .partial = partial, .gradient = parameter->gradient, .rows = rows, .cols = parameter->rows * parameter->cols};
    device->launch(KERNEL_column_sum, parameter->type, (Grid){blocks_of(arguments.cols, COLUMN_SUM_COLS), 1, 1},
                   &arguments);
}
