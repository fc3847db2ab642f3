/* Groups of columns scaled to the length 1; equations in l2_norm.h. Sums are fp32. */
#include "tile/tile.h"
#include "kernels/norms/l2_norm/l2_norm.h"
#include "tile/rows.h"

DEVICE void l2_norm_group(const L2NormArguments a, int64_t row, int64_t group) {
    const element *x = (const element *)a.x + row * a.x_stride + group * a.cols;
    element *y = (element *)a.y + row * a.y_stride + group * a.cols;
    float square = 0;
    SUM(square, i, a.cols, to_float(x[i]) * to_float(x[i]));
    const float inverse = 1.0f / sqrtf(square + a.eps);
    EACH (i, 1) a.inverse[row * a.groups + group] = inverse;
    EACH (i, a.cols) y[i] = to_element(to_float(x[i]) * inverse);
}

KERNEL(l2_norm, L2NormArguments) {
    ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program)
        for (int64_t group = 0; group < a.groups; group++) l2_norm_group(a, row, group);
}

DEVICE void l2_norm_backward_group(const L2NormBackwardArguments a, int64_t row, int64_t group) {
    const element *x = (const element *)a.x + row * a.x_stride + group * a.cols;
    const element *dy = (const element *)a.dy + row * a.dy_stride + group * a.cols;
    element *dx = (element *)a.dx + row * a.x_stride + group * a.cols;
    const float inverse = a.inverse[row * a.groups + group];
    float dot = 0;
    SUM(dot, i, a.cols, to_float(dy[i]) * to_float(x[i]));
    const float along = dot * inverse * inverse;
    EACH (i, a.cols) dx[i] = to_element(inverse * (to_float(dy[i]) - to_float(x[i]) * along));
}

KERNEL(l2_norm_backward, L2NormBackwardArguments) {
    ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program)
        for (int64_t group = 0; group < a.groups; group++) l2_norm_backward_group(a, row, group);
}
