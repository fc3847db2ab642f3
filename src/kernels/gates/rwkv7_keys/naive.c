#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: columns of a head; real: eps. Inputs: x, rate, scale, mix. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    rwkv7_keys(tape, in[0], in[1], in[2], in[3], c->integer[0], (float)c->real[0], out);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols, width = c->integer[0];
    for (int64_t first = 0; first < batch->B * batch->T * cols; first += width) {
        const double *scale = in[2] + first % cols, *mix = in[3] + first % cols;
        double square = 0;
        for (int64_t i = 0; i < width; i++) square += pow(in[0][first + i] * scale[i], 2);
        for (int64_t i = 0; i < width; i++) {
            const double x = in[0][first + i], rate = in[1][first + i];
            const double unit = x * scale[i] / sqrt(square + c->real[0]);
            out[0][first + i] = x * (1 + (rate - 1) * mix[i]);
            out[1][first + i] = -unit;
            out[2][first + i] = unit * rate;
        }
    }
}

#define INPUTS(columns)                                                                                                \
    {                                                                                                                  \
        {.name = "x", .cols = columns}, {.name = "rate", .cols = columns, .low = 0, .high = 1},                        \
            {.name = "scale", .rows = 1, .cols = columns, .parameter = true, .low = 0.5, .high = 1}, {                 \
            .name = "mix", .rows = 1, .cols = columns, .parameter = true                                               \
        }                                                                                                              \
    }

const OpTest rwkv7_keys_test = {
    .name = "rwkv7_keys",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "heads of 64", .B = 1, .integer = {64}, .real = {1e-6}, .input = INPUTS(2 * 64)},
            {.name = "heads of 16", .B = 2, .T = 33, .integer = {16}, .real = {1e-6}, .input = INPUTS(3 * 16)},
            {.name = "odd", .B = 1, .T = 40, .integer = {19}, .real = {1e-6}, .input = INPUTS(2 * 19)},
            {.name = "a large head", .B = 1, .T = 9, .integer = {256}, .real = {1e-6}, .input = INPUTS(256)},
            {.name = "packed", .B = 2, .T = 30, .packed = true, .integer = {8}, .real = {1e-6}, .input = INPUTS(8)},
        },
};
