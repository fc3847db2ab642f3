#include "kernels/ops.h"
#include "ops/op_test.h"

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    out[0] = biased_product(tape, in[0], in[1], in[2], in[3]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[1].cols, n = batch->B * batch->T * c->input[0].cols;
    for (int64_t i = 0; i < n; i++) out[0][i] = (in[0][i] + in[1][i % cols]) * (in[2][i] + in[3][i % cols]);
}

#define INPUTS(columns, head_columns)                                                                                  \
    {                                                                                                                  \
        {.name = "x", .cols = columns}, {.name = "x_bias", .rows = 1, .cols = head_columns, .parameter = true},        \
            {.name = "y", .cols = columns}, {                                                                          \
            .name = "y_bias", .rows = 1, .cols = head_columns, .parameter = true                                       \
        }                                                                                                              \
    }

const OpTest biased_product_test = {
    .name = "biased_product",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "one head", .B = 1, .input = INPUTS(24, 24)},
            {.name = "heads", .B = 2, .T = 65, .input = INPUTS(34, 17)},
            {.name = "packed", .B = 2, .T = 40, .packed = true, .input = INPUTS(16, 4)},
        },
};
