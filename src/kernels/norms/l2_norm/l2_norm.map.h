/* Groups of columns scaled to the length 1; equations in l2_norm.h. Sums are fp32. */
#include "tile/tile.h"
#include "kernels/norms/l2_norm/l2_norm.h"
#include "tile/rows.h"

KERNEL(l2_norm, L2NormArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_GROUP (row, group, first, end, a.groups, a.cols) {
        const element *x = (const element *)a.x + row * a.x_stride + group * a.cols;
        element *y = (element *)a.y + row * a.y_stride + group * a.cols;
        VECTORS_OF(x, y);
        float square = 0;
        WARP_SUM_VECTOR(i, a.cols, square) {
            READ(value, x + i);
            EACH_LANE(e) square += value[e] * value[e];
        }
        WARP_TOTAL(square);
        const float inverse = 1.0f / sqrtf(square + a.eps);
        WARP_EACH(one, 1) a.inverse[row * a.groups + group] = inverse;
        WARP_VECTOR(i, a.cols) {
            READ(value, x + i);
            EACH_LANE(e) value[e] *= inverse;
            WRITE(y + i, value);
        }
    }
}

KERNEL(l2_norm_backward, L2NormBackwardArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_GROUP (row, group, first, end, a.groups, a.cols) {
        const element *x = (const element *)a.x + row * a.x_stride + group * a.cols;
        const element *dy = (const element *)a.dy + row * a.dy_stride + group * a.cols;
        element *dx = (element *)a.dx + row * a.x_stride + group * a.cols;
        const float inverse = a.inverse[row * a.groups + group];
        VECTORS_OF(x, dy, dx);
        float dot = 0;
        WARP_SUM_VECTOR(i, a.cols, dot) {
            READ(d, dy + i);
            READ(value, x + i);
            EACH_LANE(e) dot += d[e] * value[e];
        }
        WARP_TOTAL(dot);
        const float along = dot * inverse * inverse;
        WARP_VECTOR(i, a.cols) {
            READ(d, dy + i);
            READ(value, x + i);
            EACH_LANE(e) d[e] = inverse * (d[e] - value[e] * along);
            WRITE(dx + i, d);
        }
    }
}
