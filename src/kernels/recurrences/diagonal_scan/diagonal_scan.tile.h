/* The linear recurrence of single channels (HGRN, arXiv 2311.04823); equations in diagonal_scan.h. A program walks over
 * time with its columns' states; they are fp32, and a column always belongs to the same thread. */
#include "tile/tile.h"
#include "kernels/recurrences/diagonal_scan/diagonal_scan.h"

enum { COLS = DIAGONAL_SCAN_COLS };

DEVICE int64_t columns_of_block(int64_t block, int64_t cols) {
    return cols - block * COLS < COLS ? cols - block * COLS : COLS;
}

KERNEL(diagonal_scan, DiagonalScanArguments) {
    VECTOR(state, COLS);
    const int64_t first = program_y * COLS, cols = columns_of_block(program_y, a.cols), start = program_x * a.T;
    const float *initial = a.initial ? a.initial + program_x * a.initial_stride + first : NULL;
    EACH (i, cols) state[i] = initial ? initial[i] : 0.0f;
    for (int64_t row = start; row < start + a.T; row++) {
        const element *x = (const element *)a.x + row * a.x_stride + first;
        const float *g = a.g + row * a.g_stride + first;
        element *h = (element *)a.h + row * a.h_stride + first;
        const float stays = row == start || a.segment[row] == a.segment[row - 1] ? 1.0f : 0.0f;
        EACH (i, cols) {
            state[i] = stays * exp_f(g[i]) * state[i] + to_float(x[i]);
            h[i] = to_element(state[i]);
        }
    }
    if (a.final)
        EACH (i, cols) a.final[program_x * a.cols + first + i] = state[i];
}

/* before: h of the row before, NULL at the start of a document. */
DEVICE void diagonal_scan_backward_row(const DiagonalScanBackwardArguments a, int64_t row, int64_t first, int64_t cols,
                                       float *carried, const element *before, const float *initial) {
    const element *dh = (const element *)a.dh + row * a.h_stride + first;
    const float *g = a.g + row * a.g_stride + first;
    element *dx = (element *)a.dx + row * a.x_stride + first;
    float *dg = a.dg + row * a.g_stride + first;
    EACH (i, cols) {
        const float sum = to_float(dh[i]) + carried[i], decay = exp_f(g[i]);
        dx[i] = to_element(sum);
        dg[i] = before ? decay * to_float(before[i]) * sum : initial ? decay * initial[i] * sum : 0.0f;
        carried[i] = before || initial ? decay * sum : 0.0f;
    }
}

KERNEL(diagonal_scan_backward, DiagonalScanBackwardArguments) {
    VECTOR(carried, COLS);
    const int64_t first = program_y * COLS, cols = columns_of_block(program_y, a.cols), start = program_x * a.T;
    const float *initial = a.initial ? a.initial + program_x * a.initial_stride + first : NULL;
    EACH (i, cols) carried[i] = a.dfinal ? a.dfinal[program_x * a.cols + first + i] : 0.0f;
    for (int64_t row = start + a.T - 1; row > start; row--) {
        const element *before = (const element *)a.h + (row - 1) * a.h_stride + first;
        if (a.segment[row] == a.segment[row - 1])
            diagonal_scan_backward_row(a, row, first, cols, carried, before, NULL);
        else
            diagonal_scan_backward_row(a, row, first, cols, carried, NULL, NULL);
    }
    if (initial)
        diagonal_scan_backward_row(a, start, first, cols, carried, NULL, initial);
    else
        diagonal_scan_backward_row(a, start, first, cols, carried, NULL, NULL);
    if (a.dinitial)
        EACH (i, cols) a.dinitial[program_x * a.initial_stride + first + i] = carried[i];
}
