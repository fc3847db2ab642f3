#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* Inputs: y, x, D and perhaps the gate. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = gated_skip(tape, in[0], in[1], in[2], c->input[3].cols ? in[3] : NULL);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols;
    for (int64_t i = 0; i < batch->B * batch->T * cols; i++) {
        const double gate = c->input[3].cols ? in[3][i] / (1 + exp(-in[3][i])) : 1;
        out[0][i] = (in[0][i] + in[2][i % cols] * in[1][i]) * gate;
    }
}

#define INPUTS(columns)                                                                                                \
    {.name = "y", .cols = columns}, {.name = "x", .cols = columns}, {                                                  \
        .name = "D", .rows = 1, .cols = columns, .parameter = true                                                     \
    }
#define GATE(columns)                                                                                                  \
    { .name = "gate", .cols = columns }

const OpTest gated_skip_test = {
    .name = "gated_skip",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "gate", .B = 1, .input = {INPUTS(64), GATE(64)}},
            {.name = "odd", .B = 2, .T = 40, .input = {INPUTS(51), GATE(51)}},
            {.name = "no gate", .B = 2, .T = 40, .input = {INPUTS(51)}},
            {.name = "wide", .B = 1, .T = 9, .input = {INPUTS(2100), GATE(2100)}},
            {.name = "packed", .B = 2, .T = 30, .packed = true, .input = {INPUTS(16), GATE(16)}},
        },
};
