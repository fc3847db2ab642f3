/* A term that is added to the losses of tokens, and its gradient; all fp32. */
#include "tile/tile.h"
#include "kernels/basic/add_loss/add_loss.h"
#include "tile/rows.h"

/* The factor of all rows: factor * targets / rows. */
DEVICE float factor_of_rows(const AddLossArguments *a) {
    float targets = 0;
    SUM(targets, row, a->rows, a->labels[row] >= 0 ? 1.0f : 0.0f);
    return a->factor * targets / (float)a->rows;
}

KERNEL(add_loss, AddLossArguments) {
    const float factor = factor_of_rows(&a);
    const int64_t first = program_x * a.rows_per_program;
    EACH_SHORT_ROW (row, first, end_of_program(first, a.rows, a.rows_per_program), a.cols) {
        const float *const x = a.x + row * a.x_stride;
        float sum = 0;
        WARP_SUM_VECTOR(i, a.cols, sum) {
            READ_F32(value, x + i);
            EACH_LANE(e) sum += value[e];
        }
        WARP_TOTAL(sum);
        WARP_EACH(one, 1) {
            a.y[row] = factor * sum;
            if (a.losses) a.losses[row] += factor * sum;
        }
    }
}

KERNEL(add_loss_backward, AddLossArguments) {
    const float factor = factor_of_rows(&a);
    const int64_t first = program_x * a.rows_per_program;
    EACH_SHORT_ROW (row, first, end_of_program(first, a.rows, a.rows_per_program), a.cols) {
        WARP_EACH(i, a.cols) a.dx[row * a.x_stride + i] = factor;
    }
}
