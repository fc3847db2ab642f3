/* Groups of columns scaled to one length; equations in l2_norm.h. Sums are fp32. */
#include "tile/tile.h"
#include "kernels/norms/l2_norm/l2_norm.h"
#include "tile/rows.h"

DEVICE void l2_norm_rows(HELD_MODE, const L2NormArguments a, int64_t first, int64_t end) {
    EACH_HELD_GROUP(row, group, first, end, a.groups, a.cols) {
        const element *x = (const element *)a.x + row * a.x_stride + group * a.cols;
        element *y = (element *)a.y + row * a.y_stride + group * a.cols;
        HELD(x_held);
        float square = 0;
        HOLD_VECTOR(i, a.cols, square) {
            READ_HOLD(value, x_held, x + i);
            EACH_LANE(e) square += value[e] * value[e];
        }
        WARP_TOTAL(square);
        const float inverse = a.length * reciprocal_root_f(square + a.eps);
        HELD_VECTOR(i, a.cols) {
            READ_HELD(value, x_held, x + i);
            EACH_LANE(e) value[e] *= inverse;
            WRITE(y + i, value);
        }
        WARP_EACH(one, 1) a.inverse[row * a.groups + group] = inverse;
    }
}

KERNEL(l2_norm, L2NormArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    VECTORS_OF(a.x, a.y, a.x_stride * sizeof(element), a.y_stride * sizeof(element));
    HELD_ROWS(a.cols, 2, l2_norm_rows(HELD_HERE, a, first, end));
}

DEVICE void l2_norm_backward_rows(HELD_MODE, const L2NormBackwardArguments a, int64_t first, int64_t end) {
    const float per_square = 1.0f / (a.length * a.length);
    EACH_HELD_GROUP(row, group, first, end, a.groups, a.cols) {
        const element *x = (const element *)a.x + row * a.x_stride + group * a.cols;
        const element *dy = (const element *)a.dy + row * a.dy_stride + group * a.cols;
        element *dx = (element *)a.dx + row * a.x_stride + group * a.cols;
        const float inverse = a.inverse[row * a.groups + group];
        HELD(x_held);
        HELD(dy_held);
        float dot = 0;
        HOLD_VECTOR(i, a.cols, dot) {
            READ_HOLD(d, dy_held, dy + i);
            READ_HOLD(value, x_held, x + i);
            EACH_LANE(e) dot += d[e] * value[e];
        }
        WARP_TOTAL(dot);
        const float along = dot * inverse * inverse * per_square;
        HELD_VECTOR(i, a.cols) {
            READ_HELD(d, dy_held, dy + i);
            READ_HELD(value, x_held, x + i);
            EACH_LANE(e) d[e] = inverse * (d[e] - value[e] * along);
            WRITE(dx + i, d);
        }
    }
}

KERNEL(l2_norm_backward, L2NormBackwardArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    VECTORS_OF(a.x, a.dy, a.dx, a.x_stride * sizeof(element), a.dy_stride * sizeof(element));
    HELD_ROWS(a.cols, 2, l2_norm_backward_rows(HELD_HERE, a, first, end));
}
