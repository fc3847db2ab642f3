#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: heads. Inputs: y, x, D and perhaps the gate. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = gated_skip(tape, in[0], in[1], in[2], c->input[3].cols ? in[3] : NULL, c->integer[0]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols, width = cols / c->input[2].cols;
    for (int64_t i = 0; i < batch->B * batch->T * cols; i++) {
        const double gate = c->input[3].cols ? in[3][i] / (1 + exp(-in[3][i])) : 1;
        out[0][i] = (in[0][i] + in[2][i % cols / width] * in[1][i]) * gate;
    }
}

#define INPUTS(columns, entries)                                                                                       \
    {.name = "y", .cols = columns}, {.name = "x", .cols = columns}, {                                                  \
        .name = "D", .rows = 1, .cols = entries, .parameter = true                                                     \
    }
#define GATE(columns)                                                                                                  \
    { .name = "gate", .cols = columns }

const OpTest gated_skip_test = {
    .name = "gated_skip",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "heads", .B = 1, .integer = {4}, .input = {INPUTS(64, 4), GATE(64)}},
            {.name = "columns", .B = 2, .T = 40, .integer = {3}, .input = {INPUTS(51, 51), GATE(51)}},
            {.name = "no gate", .B = 2, .T = 40, .integer = {3}, .input = {INPUTS(51, 3)}},
            {.name = "columns, no gate", .B = 1, .T = 9, .integer = {2}, .input = {INPUTS(10, 10)}},
            {.name = "packed", .B = 2, .T = 30, .packed = true, .integer = {2}, .input = {INPUTS(16, 2), GATE(16)}},
        },
};
