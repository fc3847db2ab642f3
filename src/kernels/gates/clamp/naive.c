#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* real: the bounds. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = clamp(tape, in[0], (float)c->real[0], (float)c->real[1]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t n = batch->B * batch->T * c->input[0].cols;
    for (int64_t i = 0; i < n; i++) out[0][i] = fmin(fmax(in[0][i], c->real[0]), c->real[1]);
}

const OpTest clamp_test = {
    .name = "clamp",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "both bounds", .B = 1, .real = {-0.5, 1}, .input = {{.name = "x", .cols = 40}}},
            {.name = "from below", .B = 2, .T = 33, .real = {0.1, INFINITY}, .input = {{.name = "x", .cols = 19}}},
            {.name = "from above", .B = 2, .T = 33, .real = {-INFINITY, 0.1}, .input = {{.name = "x", .cols = 19}}},
            {.name = "packed", .B = 2, .T = 30, .packed = true, .real = {-1, 1}, .input = {{.name = "x", .cols = 9}}},
        },
};
