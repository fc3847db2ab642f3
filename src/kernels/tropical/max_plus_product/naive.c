#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    out[0] = max_plus_product(tape, in[0], in[1]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[1].rows, outs = c->input[1].cols, heads = c->input[0].cols / cols;
    for (int64_t n = 0; n < batch->B * batch->T * heads; n++)
        for (int64_t j = 0; j < outs; j++) {
            double *y = &out[0][n * outs + j];
            *y = -INFINITY;
            for (int64_t i = 0; i < cols; i++) *y = fmax(*y, in[0][n * cols + i] + in[1][i * outs + j]);
        }
}

#define INPUTS(heads, columns, outputs)                                                                                \
    {                                                                                                                  \
        {.name = "x", .cols = (heads) * (columns)}, {                                                                  \
            .name = "w", .rows = columns, .cols = outputs, .parameter = true                                           \
        }                                                                                                              \
    }

const OpTest max_plus_product_test = {
    .name = "max_plus_product",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "lengths", .B = 1, .input = INPUTS(2, 16, 16)},
            {.name = "more rows than a program sums", .B = 2, .T = 90, .input = INPUTS(1, 32, 24)},
            {.name = "wide heads", .B = 1, .T = 20, .input = INPUTS(2, 128, 64)},
            {.name = "packed", .B = 2, .T = 30, .packed = true, .input = INPUTS(3, 7, 5)},
        },
};
