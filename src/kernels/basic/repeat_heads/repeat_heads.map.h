/* Repeats each head, and the gradient of that. A program takes some rows. */
#include "tile/tile.h"
#include "kernels/basic/repeat_heads/repeat_heads.h"
#include "tile/rows.h"

KERNEL(repeat_heads, RepeatHeadsArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_GROUP (row, head, first, end, a.heads, a.cols) {
        const element *x = (const element *)a.x + row * a.x_stride + head * a.cols;
        element *y = (element *)a.y + row * a.y_stride + head * a.group * a.cols;
        VECTORS_OF(x, y, a.cols * sizeof(element));
        WARP_VECTOR(i, a.cols) {
            READ(value, x + i);
            for (int64_t n = 0; n < a.group; n++) WRITE(y + n * a.cols + i, value);
        }
    }
}

KERNEL(repeat_heads_backward, RepeatHeadsArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_GROUP (row, head, first, end, a.heads, a.cols) {
        const element *dy = (const element *)a.dy + row * a.y_stride + head * a.group * a.cols;
        element *dx = (element *)a.dx + row * a.x_stride + head * a.cols;
        VECTORS_OF(dx, dy, a.cols * sizeof(element));
        WARP_VECTOR(i, a.cols) {
            READ(sum, dy + i);
            for (int64_t n = 1; n < a.group; n++) {
                READ(d, dy + n * a.cols + i);
                EACH_LANE(e) sum[e] += d[e];
            }
            WRITE(dx + i, sum);
        }
    }
}
