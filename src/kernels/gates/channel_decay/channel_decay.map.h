/* The log decay of Kimi Delta Attention; equations in channel_decay.h. Programs: x over rows, y over heads. */
#include "tile/tile.h"
#include "kernels/gates/channel_decay/channel_decay.h"
#include "tile/rows.h"

/* The rows and the head of a program. Rows are inlined with a constant has_bound, so the loops have no branches. */
typedef struct DecayPart {
    int64_t first, end, from;
    float rate;
} DecayPart;

DEVICE DecayPart decay_part(const ChannelDecayArguments a, int64_t program_x, int64_t head) {
    const int64_t first = program_x * a.rows_per_program;
    const DecayPart part = {first, end_of_program(first, a.rows, a.rows_per_program), head * a.cols,
                            exp_f(to_float(((const element *)a.A_log)[head]))};
    return part;
}

DEVICE void channel_decay_rows(const ChannelDecayArguments a, const DecayPart part, bool has_bound) {
    const element *dt_bias = (const element *)a.dt_bias + part.from;
    EACH_SHORT_ROW (row, part.first, part.end, a.cols) {
        const element *x = (const element *)a.x + row * a.x_stride + part.from;
        float *g = a.g + row * a.g_stride + part.from;
        VECTORS_OF(x, dt_bias, g);
        WARP_VECTOR(i, a.cols) {
            READ(y, x + i);
            READ(bias, dt_bias + i);
            EACH_LANE(e) {
                y[e] += bias[e];
                y[e] = has_bound ? a.lower_bound * sigmoid_f(part.rate * y[e]) : -part.rate * softplus_f(y[e]);
            }
            WRITE_F32(g + i, y);
        }
    }
}

KERNEL(channel_decay, ChannelDecayArguments) {
    const DecayPart part = decay_part(a, program_x, program_y);
    if (a.lower_bound == 0)
        channel_decay_rows(a, part, false);
    else
        channel_decay_rows(a, part, true);
}

DEVICE void channel_decay_backward_rows(const ChannelDecayArguments a, const DecayPart part, float *sums,
                                        float *rate_sums, bool has_bound) {
    const element *dt_bias = (const element *)a.dt_bias + part.from;
    EACH_SHORT_ROW (row, part.first, part.end, a.cols) {
        const element *x = (const element *)a.x + row * a.x_stride + part.from;
        const float *dg = a.dg + row * a.g_stride + part.from;
        element *dx = (element *)a.dx + row * a.x_stride + part.from;
        VECTORS_OF(x, dt_bias, dg, dx);
        WARP_VECTOR(i, a.cols) {
            READ(y, x + i);
            READ(bias, dt_bias + i);
            READ_F32(d, dg + i);
            float of_rate[VECTOR];
            EACH_LANE(e) {
                y[e] += bias[e];
                if (has_bound) {
                    d[e] *= a.lower_bound * part.rate * sigmoid_derivative_f(part.rate * y[e]);
                    of_rate[e] = d[e] * y[e];
                } else {
                    const Sigmoids sigmoids = sigmoids_of(-y[e]);
                    of_rate[e] = d[e] * part.rate * sigmoids.log_of;
                    d[e] *= -part.rate * sigmoids.of_opposite;
                }
            }
            ADD_COLUMNS(sums, i, d);
            ADD_COLUMNS(rate_sums, i, of_rate);
            WRITE(dx + i, d);
        }
    }
}

KERNEL(channel_decay_backward, ChannelDecayArguments) {
    COLUMNS(sums, 2, CHANNEL_DECAY_COLS); /* the sums of dx, and of the terms of dA_log */
    const DecayPart part = decay_part(a, program_x, program_y);
    float *rate_sums = COLUMNS_ROW(sums, CHANNEL_DECAY_COLS, 1);
    columns_zero(sums, CHANNEL_DECAY_COLS, a.cols);
    columns_zero(rate_sums, CHANNEL_DECAY_COLS, a.cols);
    if (a.lower_bound == 0)
        channel_decay_backward_rows(a, part, sums, rate_sums, false);
    else
        channel_decay_backward_rows(a, part, sums, rate_sums, true);
    sync();
    float *partial = a.partial_dt_bias + program_x * a.heads * a.cols + part.from;
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
