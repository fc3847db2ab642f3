#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: has a bias. real: normalizer, clamp_min. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = log_sigmoid_gate(tape, in[0], c->integer[0] ? in[1] : NULL, (float)c->real[0], (float)c->real[1]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols, n = batch->B * batch->T * cols;
    for (int64_t i = 0; i < n; i++) {
        const double x = in[0][i] + (c->integer[0] ? in[1][i % cols] : 0);
        const double log_sigmoid = fmin(x, 0) - log1p(exp(-fabs(x)));
        out[0][i] = fmax(log_sigmoid / c->real[0], c->real[1]);
    }
}

#define BIAS(columns)                                                                                                  \
    { .name = "bias", .rows = 1, .cols = columns, .parameter = true }

const OpTest log_sigmoid_gate_test = {
    .name = "log_sigmoid_gate",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "bias",
             .B = 1,
             .integer = {1},
             .real = {16, -INFINITY},
             .input = {{.name = "x", .cols = 40}, BIAS(40)}},
            {.name = "no bias", .B = 2, .T = 30, .real = {1, -INFINITY}, .input = {{.name = "x", .cols = 17}}},
            {.name = "clamped",
             .B = 2,
             .T = 40,
             .integer = {1},
             .real = {1, -0.7},
             .input = {{.name = "x", .cols = 24}, BIAS(24)}},
            {.name = "clamped, no bias", .B = 1, .T = 33, .real = {1, -0.7}, .input = {{.name = "x", .cols = 24}}},
            {.name = "a vector a lane",
             .B = 1,
             .T = 3,
             .integer = {1},
             .real = {16, -INFINITY},
             .input = {{.name = "x", .cols = 256}, BIAS(256)}},
            {.name = "two vectors a lane",
             .B = 1,
             .T = 3,
             .integer = {1},
             .real = {1, -0.7},
             .input = {{.name = "x", .cols = 512}, BIAS(512)}},
            {.name = "large numbers",
             .B = 1,
             .T = 65,
             .real = {16, -INFINITY},
             .input = {{.name = "x", .cols = 24, .low = -300, .high = 300}}},
            {.name = "nearly no decay",
             .B = 1,
             .T = 15,
             .real = {1, -INFINITY},
             .input = {{.name = "x", .cols = 24, .low = 5, .high = 12}}},
            {.name = "packed",
             .B = 2,
             .T = 30,
             .packed = true,
             .integer = {1},
             .real = {16, -2},
             .input = {{.name = "x", .cols = 9}, BIAS(9)}},
        },
};
