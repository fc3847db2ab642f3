#include "kernels/ops.h"
#include "ops/op_test.h"

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    out[0] = token_shift(tape, in[0]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols;
    for (int64_t n = 0; n < batch->B * batch->T; n++)
        for (int64_t i = 0; i < cols; i++) out[0][n * cols + i] = batch->position[n] ? in[0][(n - 1) * cols + i] : 0;
}

const OpTest token_shift_test = {
    .name = "token_shift",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "lengths", .B = 2, .input = {{.name = "x", .cols = 40}}},
            {.name = "one column", .B = 3, .T = 5, .input = {{.name = "x", .cols = 1}}},
            {.name = "one token, wide", .B = 3, .T = 1, .input = {{.name = "x", .cols = 520}}},
            {.name = "packed", .B = 3, .packed = true, .input = {{.name = "x", .cols = 17}}},
            {.name = "fp32", .B = 2, .T = 65, .input = {{.name = "x", .cols = 24, .fp32 = true}}},
            {.name = "fp32, odd", .B = 2, .T = 15, .input = {{.name = "x", .cols = 7, .fp32 = true}}},
            {.name = "fp32, packed",
             .B = 2,
             .T = 65,
             .packed = true,
             .input = {{.name = "x", .cols = 264, .fp32 = true}}},
        },
};
