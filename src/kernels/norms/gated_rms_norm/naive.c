#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* Groups are as wide as the weight. real: eps; integer: 1 for a sigmoid gate. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = gated_rms_norm(tape, in[0], in[1], in[2], c->integer[0] ? ACTIVATION_SIGMOID : ACTIVATION_SILU,
                            (float)c->real[0]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[2].cols, groups = c->input[0].cols / cols * batch->B * batch->T;
    for (int64_t group = 0; group < groups; group++) {
        const double *x = in[0] + group * cols, *gate = in[1] + group * cols;
        double square = 0;
        for (int64_t i = 0; i < cols; i++) square += x[i] * x[i];
        const double rms = sqrt(square / (double)cols + (double)(float)c->real[0]);
        for (int64_t i = 0; i < cols; i++)
            out[0][group * cols + i] = in[2][i] * x[i] / rms * (c->integer[0] ? 1 : gate[i]) / (1 + exp(-gate[i]));
    }
}

#define INPUTS(columns, group_columns)                                                                                 \
    {                                                                                                                  \
        {.name = "x", .cols = columns}, {.name = "gate", .cols = columns}, {                                           \
            .name = "weight", .rows = 1, .cols = group_columns, .parameter = true                                      \
        }                                                                                                              \
    }

const OpTest gated_rms_norm_test = {
    .name = "gated_rms_norm",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "one group", .B = 1, .real = {1e-6}, .input = INPUTS(56, 56)},
            {.name = "heads", .B = 2, .T = 65, .real = {1e-5}, .input = INPUTS(96, 32)},
            {.name = "packed", .B = 2, .T = 40, .packed = true, .real = {1e-5}, .input = INPUTS(20, 10)},
            {.name = "sigmoid", .B = 2, .T = 65, .real = {1e-5}, .integer = {1}, .input = INPUTS(96, 32)},
            {.name = "lanes with a vector", .B = 1, .T = 5, .real = {1e-5}, .input = INPUTS(192, 64)},
            {.name = "a vector a lane", .B = 1, .T = 3, .integer = {1}, .real = {1e-5}, .input = INPUTS(512, 256)},
            {.name = "two vectors a lane", .B = 1, .T = 3, .real = {1e-5}, .input = INPUTS(1024, 512)},
            {.name = "four vectors a lane", .B = 1, .T = 3, .real = {1e-5}, .input = INPUTS(1024, 1024)},
            {.name = "strong gates",
             .B = 1,
             .T = 15,
             .real = {0.5},
             .input = {{.name = "x", .cols = 18},
                       {.name = "gate", .cols = 18, .low = -100, .high = 100},
                       {.name = "weight", .rows = 1, .cols = 6, .parameter = true}}},
        },
};
