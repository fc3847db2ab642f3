/* A term that is added to the losses of tokens, and its gradient; all fp32. */
#include "tile/tile.h"
#include "kernels/basic/add_loss/add_loss.h"
#include "tile/rows.h"

/* The factor of all rows of a sequence, which begins at row `first`: factor * targets / T. */
DEVICE float factor_of_sequence(const AddLossArguments *a, int64_t first) {
    float targets = 0;
    SUM(targets, i, a->T, a->labels[first + i] >= 0 ? 1.0f : 0.0f);
    return a->factor * targets / (float)a->T;
}

/* EACH_SEQUENCE(from, to): the rows of this program, from .. to - 1 of one sequence at a time. */
#define EACH_SEQUENCE(from, to)                                                                                        \
    for (int64_t from = program_x * a.rows_per_program, end_ = end_of_program(from, a.rows, a.rows_per_program),       \
                 to = end_of_program(from / a.T * a.T, end_, a.T);                                                     \
         from < end_; from = to, to = end_of_program(from, end_, a.T))

KERNEL(add_loss, AddLossArguments) {
    EACH_SEQUENCE(from, to) {
        const float factor = factor_of_sequence(&a, from / a.T * a.T);
        EACH_SHORT_ROW (row, from, to, a.cols) {
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
}

KERNEL(add_loss_backward, AddLossArguments) {
    EACH_SEQUENCE(from, to) {
        const float factor = factor_of_sequence(&a, from / a.T * a.T);
        EACH_SHORT_ROW (row, from, to, a.cols) {
            WARP_EACH(i, a.cols) a.dx[row * a.x_stride + i] = factor;
        }
    }
}
