#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    out[0] = decay_complement(tape, in[0]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t n = batch->B * batch->T * c->input[0].cols;
    for (int64_t i = 0; i < n; i++) out[0][i] = -expm1(in[0][i]);
}

#define GATES(columns, least)                                                                                          \
    {                                                                                                                  \
        { .name = "g", .cols = columns, .fp32 = true, .low = least, .high = 0 }                                        \
    }

const OpTest decay_complement_test = {
    .name = "decay_complement",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "plain", .B = 1, .input = GATES(40, -2)},
            {.name = "forgets nearly nothing", .B = 2, .T = 33, .input = GATES(19, -1e-6)},
            {.name = "forgets all", .B = 2, .T = 33, .input = GATES(19, -200)},
            {.name = "packed", .B = 2, .T = 30, .packed = true, .input = GATES(9, -0.5)},
        },
};
