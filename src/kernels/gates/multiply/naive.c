#include "kernels/ops.h"
#include "ops/op_test.h"

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    out[0] = multiply(tape, in[0], in[1]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t n = batch->B * batch->T * c->input[0].cols;
    for (int64_t i = 0; i < n; i++) out[0][i] = in[0][i] * in[1][i];
}

const OpTest multiply_test = {
    .name = "multiply",
    .build = build,
    .naive = naive,
    .cases = {
        {.name = "lengths", .B = 1, .input = {{.name = "x", .cols = 40}, {.name = "y", .cols = 40}}},
        {.name = "one column", .B = 2, .T = 5, .input = {{.name = "x", .cols = 1}, {.name = "y", .cols = 1}}},
        {.name = "several vectors a lane",
         .B = 1,
         .T = 3,
         .input = {{.name = "x", .cols = 520}, {.name = "y", .cols = 520}}},
        {.name = "packed",
         .B = 2,
         .T = 65,
         .packed = true,
         .input = {{.name = "x", .cols = 17}, {.name = "y", .cols = 17}}},
    }};
