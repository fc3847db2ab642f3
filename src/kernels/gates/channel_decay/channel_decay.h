/* Arguments of the channel_decay kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_GATES_CHANNEL_DECAY_CHANNEL_DECAY_H
#define FLAME_KERNELS_GATES_CHANNEL_DECAY_CHANNEL_DECAY_H

#include <stdint.h>

enum { CHANNEL_DECAY_COLS = 256 }; /* the most channels of a head */

/* With y = x + dt_bias: g = -e^A_log softplus(y), or, if lower_bound is not 0, lower_bound sigmoid(e^A_log y); fp32.
 * Backward: dx = dg times the derivative g' of g by y, ddt_bias = the sum of dx over the rows, dA_log = the sum over
 * rows and channels of dg g or, with a lower bound, of dg g' y. dx has the stride of x, dg that of g. */
typedef struct ChannelDecayArguments {
    const void *x, *A_log, *dt_bias; /* [rows, heads*cols], [heads], [heads*cols] */
    float *g;
    const float *dg;
    void *dx;
    float *partial_A_log, *partial_dt_bias; /* [programs over rows, heads], [programs over rows, heads*cols] */
    int64_t rows, heads, cols, rows_per_program, x_stride, g_stride;
    float lower_bound;
} ChannelDecayArguments;

#endif
