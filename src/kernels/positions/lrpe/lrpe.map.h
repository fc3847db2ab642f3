/* Linearized relative positional encoding with learned frequencies; equations in lrpe.h. */
#include "tile/tile.h"
#include "kernels/positions/lrpe/lrpe.h"
#include "tile/rows.h"

KERNEL(lrpe, LrpeArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_GROUP (row, head, first, end, a.heads, a.D) {
        const element *x = (const element *)a.x + row * a.x_stride + head * a.D;
        const element *theta = (const element *)a.theta + head * a.D;
        element *y = (element *)a.y + row * a.y_stride + head * 2 * a.D;
        const double position = (double)a.position[row];
        VECTORS_OF(x, theta, y, y + a.D);
        WARP_VECTOR(i, a.D) {
            READ(value, x + i);
            READ(frequency, theta + i);
            float left[VECTOR], right[VECTOR];
            EACH_LANE(e) {
                float sine, cosine;
                sine_and_cosine(position * (double)frequency[e], &sine, &cosine);
                left[e] = value[e] * cosine;
                right[e] = value[e] * sine;
            }
            WRITE(y + i, left);
            WRITE(y + a.D + i, right);
        }
    }
}

/* Programs: x over rows, y over heads. */
KERNEL(lrpe_backward, LrpeBackwardArguments) {
    COLUMNS(sums, 1, WARP_COLS);
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    const int64_t head = program_y;
    const element *theta = (const element *)a.theta + head * a.D;
    columns_zero(sums, WARP_COLS, a.D);
    EACH_SHORT_ROW (row, first, end, a.D) {
        const element *x = (const element *)a.x + row * a.x_stride + head * a.D;
        const element *dy = (const element *)a.dy + row * a.y_stride + head * 2 * a.D;
        element *dx = (element *)a.dx + row * a.x_stride + head * a.D;
        const double position = (double)a.position[row];
        VECTORS_OF(x, theta, dy, dy + a.D, dx);
        WARP_VECTOR(i, a.D) {
            READ(value, x + i);
            READ(frequency, theta + i);
            READ(left, dy + i);
            READ(right, dy + a.D + i);
            float turn[VECTOR];
            EACH_LANE(e) {
                float sine, cosine;
                sine_and_cosine(position * (double)frequency[e], &sine, &cosine);
                turn[e] = (float)position * value[e] * (right[e] * cosine - left[e] * sine);
                value[e] = left[e] * cosine + right[e] * sine;
            }
            ADD_COLUMNS(sums, i, turn);
            WRITE(dx + i, value);
        }
    }
    sync();
    float *partial = a.partial + (program_x * a.heads + head) * a.D;
    EACH_VECTOR(i, a.D) {
        READ_TOTALS(total, sums, i, a.D);
        WRITE_F32(partial + i, total);
    }
}
