#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: head size. real: theta. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = rotary(tape, in[0], c->integer[0], (float)c->real[0]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t head_dim = c->integer[0], half = head_dim / 2, cols = c->input[0].cols;
    for (int64_t n = 0; n < batch->B * batch->T; n++)
        for (int64_t j = 0; j < cols; j += head_dim)
            for (int64_t d = 0; d < half; d++) {
                const double angle = batch->position[n] * pow(c->real[0], -2.0 * (double)d / (double)head_dim);
                const double *x = in[0] + n * cols + j + d;
                double *y = out[0] + n * cols + j + d;
                y[0] = x[0] * cos(angle) - x[half] * sin(angle);
                y[half] = x[0] * sin(angle) + x[half] * cos(angle);
            }
}

#define X(columns)                                                                                                     \
    {                                                                                                                  \
        { .name = "x", .cols = columns }                                                                               \
    }

const OpTest rotary_test = {
    .name = "rotary",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "heads of 16", .B = 2, .integer = {16}, .real = {10000}, .input = X(48)},
            {.name = "heads of 6", .B = 1, .T = 65, .integer = {6}, .real = {500000}, .input = X(12)},
            {.name = "heads of 2", .B = 1, .T = 9, .integer = {2}, .real = {10000}, .input = X(4)},
            {.name = "long", .B = 1, .T = 5000, .integer = {8}, .real = {100}, .input = X(8)},
            {.name = "packed", .B = 2, .packed = true, .integer = {8}, .real = {10000}, .input = X(16)},
        },
};
