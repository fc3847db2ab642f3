#include "kernels/ops.h"
#include "ops/op_test.h"

/* real: the factor. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = scale(tape, in[0], (float)c->real[0]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t n = batch->B * batch->T * c->input[0].cols;
    for (int64_t i = 0; i < n; i++) out[0][i] = c->real[0] * in[0][i];
}

const OpTest scale_test = {
    .name = "scale",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "root of 32", .B = 2, .real = {5.65685424949238}, .input = {{.name = "x", .cols = 40}}},
            {.name = "negative", .B = 2, .T = 33, .packed = true, .real = {-0.3}, .input = {{.name = "x", .cols = 19}}},
        },
};
