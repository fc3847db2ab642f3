#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    out[0] = swiglu(tape, in[0], in[1]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t n = batch->B * batch->T * c->input[0].cols;
    for (int64_t i = 0; i < n; i++) out[0][i] = in[0][i] / (1 + exp(-in[0][i])) * in[1][i];
}

const OpTest swiglu_test = {
    .name = "swiglu",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "lengths", .B = 1, .input = {{.name = "gate", .cols = 72}, {.name = "up", .cols = 72}}},
            {.name = "strong gates",
             .B = 1,
             .T = 15,
             .input = {{.name = "gate", .cols = 33, .low = -120, .high = 120}, {.name = "up", .cols = 33}}},
            {.name = "packed",
             .B = 2,
             .T = 30,
             .packed = true,
             .input = {{.name = "gate", .cols = 9}, {.name = "up", .cols = 9}}},
        },
};
