#include "kernels/ops.h"
#include "ops/op_test.h"

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    out[0] = bias(tape, in[0], in[1]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols, n = batch->B * batch->T * cols;
    for (int64_t i = 0; i < n; i++) out[0][i] = in[0][i] + in[1][i % cols];
}

#define INPUTS(columns)                                                                                                \
    {                                                                                                                  \
        {.name = "x", .cols = columns}, { .name = "bias", .rows = 1, .cols = columns, .parameter = true }              \
    }

const OpTest bias_test = {
    .name = "bias",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "lengths", .B = 1, .input = INPUTS(40)},
            {.name = "more than one block of columns", .B = 1, .T = 40, .input = INPUTS(300)},
            {.name = "packed", .B = 2, .T = 30, .packed = true, .input = INPUTS(7)},
        },
};
