#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* A case's first real is the lower bound, 0 for none. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = channel_decay(tape, in[0], in[1], in[2], (float)c->real[0]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols, channels = cols / c->input[1].cols, n = batch->B * batch->T * cols;
    for (int64_t i = 0; i < n; i++) {
        const double x = in[0][i] + in[2][i % cols], rate = exp(in[1][i % cols / channels]);
        out[0][i] = c->real[0] ? c->real[0] / (1 + exp(-rate * x)) : -rate * (fmax(x, 0) + log1p(exp(-fabs(x))));
    }
}

#define INPUTS(heads, channels, low_x, high_x)                                                                         \
    {                                                                                                                  \
        {.name = "x", .cols = (heads) * (channels), .low = low_x, .high = high_x},                                     \
            {.name = "A_log", .rows = 1, .cols = heads, .parameter = true, .low = -1, .high = 2.8}, {                  \
            .name = "dt_bias", .rows = 1, .cols = (heads) * (channels), .parameter = true                              \
        }                                                                                                              \
    }

const OpTest channel_decay_test = {
    .name = "channel_decay",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "heads", .B = 1, .input = INPUTS(6, 16, -3, 3)},
            {.name = "lower bound", .B = 1, .real = {-5}, .input = INPUTS(3, 32, -3, 3)},
            {.name = "wide heads", .B = 2, .T = 70, .input = INPUTS(2, 256, -3, 3)},
            {.name = "odd heads", .B = 1, .T = 65, .real = {-2}, .input = INPUTS(3, 20, -3, 3)},
            {.name = "large numbers", .B = 1, .T = 65, .input = INPUTS(2, 128, -80, 80)},
            {.name = "packed", .B = 2, .T = 30, .packed = true, .input = INPUTS(3, 7, -3, 3)},
        },
};
