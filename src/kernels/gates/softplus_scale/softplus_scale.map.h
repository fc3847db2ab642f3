/* What a token adds to the state of Mamba-2, its input times its time step; equations in softplus_scale.h. */
#include "tile/tile.h"
#include "tile/rows.h"
#include "kernels/gates/softplus_scale/softplus_scale.h"

KERNEL(softplus_scale, SoftplusScaleArguments) {
    const element *dt = (const element *)a.dt, *dt_bias = (const element *)a.dt_bias;
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_GROUP (row, head, first, end, a.heads, a.cols) {
        const element *x = (const element *)a.x + row * a.x_stride + head * a.cols;
        element *y = (element *)a.y + row * a.y_stride + head * a.cols;
        const float factor = -log_sigmoid_f(-(to_float(dt[row * a.dt_stride + head]) + to_float(dt_bias[head])));
        VECTORS_OF(x, y);
        WARP_VECTOR(i, a.cols) {
            READ(value, x + i);
            EACH_LANE(e) value[e] *= factor;
            WRITE(y + i, value);
        }
    }
}

KERNEL(softplus_scale_backward, SoftplusScaleBackwardArguments) {
    const element *dt = (const element *)a.dt, *dt_bias = (const element *)a.dt_bias;
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_GROUP (row, head, first, end, a.heads, a.cols) {
        const element *x = (const element *)a.x + row * a.x_stride + head * a.cols;
        const element *dy = (const element *)a.dy + row * a.dy_stride + head * a.cols;
        element *dx = (element *)a.dx + row * a.x_stride + head * a.cols;
        const float z = to_float(dt[row * a.dt_stride + head]) + to_float(dt_bias[head]), factor = -log_sigmoid_f(-z);
        float sum = 0;
        VECTORS_OF(x, dy, dx);
        WARP_SUM_VECTOR(i, a.cols, sum) {
            READ(d, dy + i);
            READ(value, x + i);
            EACH_LANE(e) sum += d[e] * value[e];
        }
        WARP_TOTAL(sum);
        WARP_VECTOR(i, a.cols) {
            READ(d, dy + i);
            EACH_LANE(e) d[e] *= factor;
            WRITE(dx + i, d);
        }
        WARP_EACH(one, 1) {
            a.partial[row * a.heads + head] = sum * sigmoid_f(z);
            ((element *)a.ddt)[row * a.dt_stride + head] = to_element(sum * sigmoid_f(z));
        }
    }
}
