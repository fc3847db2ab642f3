#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    out[0] = sinusoid(tape, in[0]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols, half = cols / 2;
    for (int64_t n = 0; n < batch->B * batch->T; n++)
        for (int64_t i = 0; i < half; i++) {
            const double frequency = half > 1 ? exp(-log(10000) * (double)i / (double)(half - 1)) : 1;
            const double angle = batch->position[n] * frequency;
            out[0][n * cols + i] = in[0][n * cols + i] + sin(angle);
            out[0][n * cols + half + i] = in[0][n * cols + half + i] + cos(angle);
        }
}

const OpTest sinusoid_test = {
    .name = "sinusoid",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "lengths", .B = 2, .input = {{.name = "x", .cols = 40}}},
            {.name = "two columns", .B = 2, .T = 9, .input = {{.name = "x", .cols = 2}}},
            {.name = "packed, odd half", .B = 3, .packed = true, .input = {{.name = "x", .cols = 34}}},
            {.name = "wide", .B = 2, .T = 65, .input = {{.name = "x", .cols = 512}}},
        },
};
