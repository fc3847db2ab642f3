#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

enum { LOG_STEP };

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = softplus_decay(tape, in[0], in[1], in[2], c->integer[LOG_STEP] ? &out[1] : NULL);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols, n = batch->B * batch->T * cols;
    for (int64_t i = 0; i < n; i++) {
        const double x = in[0][i] + in[2][i % cols];
        const double softplus = fmax(x, 0) + log1p(exp(-fabs(x)));
        out[0][i] = -exp(in[1][i % cols]) * softplus;
        if (c->integer[LOG_STEP]) out[1][i] = log(softplus);
    }
}

#define INPUTS(columns, low_x, high_x)                                                                                 \
    {                                                                                                                  \
        {.name = "x", .cols = columns, .low = low_x, .high = high_x},                                                  \
            {.name = "A_log", .rows = 1, .cols = columns, .parameter = true, .low = -3, .high = 2.8}, {                \
            .name = "dt_bias", .rows = 1, .cols = columns, .parameter = true                                           \
        }                                                                                                              \
    }

const OpTest softplus_decay_test = {
    .name = "softplus_decay",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "heads", .B = 1, .input = INPUTS(6, -3, 3)},
            {.name = "many columns", .B = 2, .T = 40, .input = INPUTS(40, -3, 3)},
            {.name = "nearly no decay", .B = 1, .T = 65, .input = INPUTS(8, -15, -8)},
            {.name = "large numbers", .B = 1, .T = 65, .input = INPUTS(8, -80, 80)},
            {.name = "packed", .B = 2, .T = 30, .packed = true, .input = INPUTS(3, -3, 3)},
            {.name = "steps", .B = 1, .integer = {1}, .input = INPUTS(8, -3, 3)},
            {.name = "tiny steps", .B = 2, .T = 40, .integer = {1}, .input = INPUTS(6, -60, -3)},
            {.name = "large steps", .B = 1, .T = 65, .integer = {1}, .input = INPUTS(5, -80, 80)},
        },
};
