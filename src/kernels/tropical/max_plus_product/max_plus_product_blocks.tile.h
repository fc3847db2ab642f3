/* Products in the max-plus semiring on the CPU; equations in max_plus_product.h. */
#include "tile/tile.h"
#include "kernels/tropical/choices.h"
#include "kernels/tropical/max_plus_product/max_plus_product.h"

/* Computes CHOICE_WIDTH columns of a head of a row, from column j0 on. */
DEVICE void multiply_row(const MaxPlusArguments *a, int64_t row, int64_t head, int64_t j0, const float *w, int stride,
                         float *x) {
    float largest[CHOICE_WIDTH] __attribute__((aligned(64)));
    int32_t choice[CHOICE_WIDTH] __attribute__((aligned(64)));
    const element *const from = (const element *)a->x + row * a->x_stride + head * a->cols;
    element *const y = (element *)a->y + row * a->y_stride + head * a->outs + j0;
    int32_t *const to = a->choice + row * a->choice_stride + head * a->outs + j0;
    EACH (i, a->cols) x[i] = to_float(from[i]);
    EACH (j, CHOICE_WIDTH) {
        largest[j] = -INFINITY;
        choice[j] = 0;
    }
    choose_among(largest, choice, x, w, stride, 0, (int)a->cols, 0);
    EACH (j, a->outs - j0 < CHOICE_WIDTH ? a->outs - j0 : CHOICE_WIDTH) {
        y[j] = to_element(largest[j]);
        to[j] = choice[j];
    }
}

/* Takes all heads of a row one after another, as they are in memory. Program: rows. */
KERNEL(max_plus_product_block, MaxPlusArguments) {
    MATRIX(w, MAX_PLUS_COLS, CHOICE_WIDTH);
    VECTOR(x, MAX_PLUS_COLS);
    if (ON_GPU) return;
    for (int64_t j0 = 0; j0 < a.outs; j0 += CHOICE_WIDTH) {
        EACH_ENTRY(w, i, j, w_ij, w_ij = 0);
        for (int64_t i = 0; i < a.cols; i++)
            EACH (j, a.outs - j0 < CHOICE_WIDTH ? a.outs - j0 : CHOICE_WIDTH)
                ENTRY(w, i, j) = to_float(((const element *)a.w)[i * a.outs + j0 + j]);
        ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program) {
            for (int64_t head = 0; head < a.heads; head++) multiply_row(&a, row, head, j0, w, w_stride, x);
        }
    }
}

/* Computes dx and the program's part of dw. Program: rows. */
KERNEL(max_plus_product_gradients, MaxPlusArguments) {
    VECTOR(sum, MAX_PLUS_COLS);
    float *const partial = a.partial + program_x * a.cols * a.outs;
    if (ON_GPU) return;
    EACH (n, a.cols * a.outs) partial[n] = 0;
    ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program) {
        for (int64_t head = 0; head < a.heads; head++) {
            const element *const dy = (const element *)a.dy + row * a.y_stride + head * a.outs;
            const int32_t *const choice = a.choice + row * a.choice_stride + head * a.outs;
            EACH (i, a.cols) sum[i] = 0;
            for (int64_t j = 0; j < a.outs; j++) {
                const float d = to_float(dy[j]);
                sum[choice[j]] += d;
                partial[choice[j] * a.outs + j] += d;
            }
            if (!a.dx) continue;
            element *const dx = (element *)a.dx + row * a.x_stride + head * a.cols;
            EACH (i, a.cols) dx[i] = to_element(sum[i]);
        }
    }
}
