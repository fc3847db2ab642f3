/* Softmax over groups of columns; equations in group_softmax.h. Sums are fp32. */
#include "tile/tile.h"
#include "kernels/softmax/group_softmax/group_softmax.h"
#include "tile/rows.h"

KERNEL(group_softmax, GroupSoftmaxArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_GROUP (row, group, first, end, a.groups, a.cols) {
        const element *x = (const element *)a.x + row * a.x_stride + group * a.cols;
        element *p = (element *)a.p + row * a.p_stride + group * a.cols;
        VECTORS_OF(x, p);
        float largest = -INFINITY, sum = 0;
        WARP_MAXIMUM(largest, i, a.cols, to_float(x[i]));
        WARP_SUM(sum, i, a.cols, exp_f(to_float(x[i]) - largest));
        const float inverse = 1.0f / sum;
        WARP_VECTOR(i, a.cols) {
            READ(value, x + i);
            EACH_LANE(e) value[e] = exp_f(value[e] - largest) * inverse;
            WRITE(p + i, value);
        }
    }
}

DEVICE void group_softmax_backward_rows(HELD_MODE, const GroupSoftmaxBackwardArguments a, int64_t first, int64_t end) {
    EACH_HELD_GROUP(row, group, first, end, a.groups, a.cols) {
        const element *p = (const element *)a.p + row * a.p_stride + group * a.cols;
        const element *dp = (const element *)a.dp + row * a.p_stride + group * a.cols;
        element *dx = (element *)a.dx + row * a.x_stride + group * a.cols;
        HELD(p_held);
        HELD(dp_held);
        float dot = 0;
        HOLD_VECTOR(i, a.cols, dot) {
            READ_HOLD(d, dp_held, dp + i);
            READ_HOLD(value, p_held, p + i);
            EACH_LANE(e) dot += d[e] * value[e];
        }
        WARP_TOTAL(dot);
        HELD_VECTOR(i, a.cols) {
            READ_HELD(d, dp_held, dp + i);
            READ_HELD(value, p_held, p + i);
            EACH_LANE(e) d[e] = value[e] * (d[e] - dot);
            WRITE(dx + i, d);
        }
    }
}

KERNEL(group_softmax_backward, GroupSoftmaxBackwardArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    VECTORS_OF(a.p, a.dp, a.dx, a.x_stride * sizeof(element), a.p_stride * sizeof(element));
    HELD_ROWS(a.cols, 2, group_softmax_backward_rows(HELD_HERE, a, first, end));
}
