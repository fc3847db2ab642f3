/* The log decay of Kimi Delta Attention; equations in channel_decay.h. Programs: x over rows, y over heads. */
#include "tile/tile.h"
#include "kernels/gates/channel_decay/channel_decay.h"
#include "tile/rows.h"

KERNEL(channel_decay, ChannelDecayArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    const int64_t from = program_y * a.cols;
    const element *dt_bias = (const element *)a.dt_bias + from;
    const float rate = exp_f(to_float(((const element *)a.A_log)[program_y]));
    EACH_SHORT_ROW (row, first, end, a.cols) {
        const element *x = (const element *)a.x + row * a.x_stride + from;
        float *g = a.g + row * a.g_stride + from;
        VECTORS_OF(x, dt_bias, g);
        WARP_VECTOR(i, a.cols) {
            READ(y, x + i);
            READ(bias, dt_bias + i);
            EACH_LANE(e) y[e] += bias[e];
            if (a.lower_bound == 0) {
                EACH_LANE(e) y[e] = rate * log_sigmoid_f(-y[e]);
            } else {
                EACH_LANE(e) y[e] = a.lower_bound * sigmoid_f(rate * y[e]);
            }
            WRITE_F32(g + i, y);
        }
    }
}

KERNEL(channel_decay_backward, ChannelDecayArguments) {
    COLUMNS(sums, 2, CHANNEL_DECAY_COLS); /* of dx, and of the parts of dA_log */
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    const int64_t from = program_y * a.cols;
    const element *dt_bias = (const element *)a.dt_bias + from;
    const float rate = exp_f(to_float(((const element *)a.A_log)[program_y]));
    float *rate_sums = COLUMNS_ROW(sums, CHANNEL_DECAY_COLS, 1);
    columns_zero(sums, CHANNEL_DECAY_COLS, a.cols);
    columns_zero(rate_sums, CHANNEL_DECAY_COLS, a.cols);
    EACH_SHORT_ROW (row, first, end, a.cols) {
        const element *x = (const element *)a.x + row * a.x_stride + from;
        const float *dg = a.dg + row * a.g_stride + from;
        element *dx = (element *)a.dx + row * a.x_stride + from;
        VECTORS_OF(x, dt_bias, dg, dx);
        WARP_VECTOR(i, a.cols) {
            READ(y, x + i);
            READ(bias, dt_bias + i);
            READ_F32(d, dg + i);
            float of_rate[VECTOR];
            EACH_LANE(e) y[e] += bias[e];
            if (a.lower_bound == 0) {
                EACH_LANE(e) {
                    of_rate[e] = d[e] * rate * log_sigmoid_f(-y[e]);
                    d[e] *= -rate * sigmoid_f(y[e]);
                }
            } else {
                EACH_LANE(e) {
                    d[e] *= a.lower_bound * rate * sigmoid_derivative_f(rate * y[e]);
                    of_rate[e] = d[e] * y[e];
                }
            }
            ADD_COLUMNS(sums, i, d);
            ADD_COLUMNS(rate_sums, i, of_rate);
            WRITE(dx + i, d);
        }
    }
    sync();
    float *partial = a.partial_dt_bias + program_x * a.heads * a.cols + from;
    EACH_VECTOR(i, a.cols) {
        READ_TOTALS(total, sums, i, a.cols);
        WRITE_F32(partial + i, total);
    }
    float of_rate = 0;
    SUM_VECTOR(i, a.cols, of_rate) {
        READ_TOTALS(total, rate_sums, i, a.cols);
        EACH_LANE(e) of_rate += LANE_INSIDE(e) ? total[e] : 0.0f;
    }
    PROGRAM_SUM(of_rate);
    EACH (one, 1) a.partial_A_log[program_x * a.heads + program_y] = of_rate;
}
