#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* real: the factor. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = sigmoid_gate(tape, in[0], (float)c->real[0]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t n = batch->B * batch->T * c->input[0].cols;
    for (int64_t i = 0; i < n; i++) out[0][i] = c->real[0] / (1 + exp(-in[0][i]));
}

const OpTest sigmoid_gate_test = {
    .name = "sigmoid_gate",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "factor 1", .B = 1, .real = {1}, .input = {{.name = "x", .cols = 6}}},
            {.name = "factor 2", .B = 2, .T = 40, .real = {2}, .input = {{.name = "x", .cols = 17}}},
            {.name = "large numbers",
             .B = 1,
             .T = 65,
             .real = {1},
             .input = {{.name = "x", .cols = 9, .low = -200, .high = 200}}},
            {.name = "packed", .B = 2, .T = 30, .packed = true, .real = {2}, .input = {{.name = "x", .cols = 3}}},
        },
};
