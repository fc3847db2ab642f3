#include "kernels/ops.h"
#include "ops/op_test.h"

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    out[0] = lerp(tape, in[0], in[1], in[2]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t n = batch->B * batch->T * c->input[0].cols;
    for (int64_t i = 0; i < n; i++) out[0][i] = in[0][i] + (in[1][i] - in[0][i]) * in[2][i];
}

#define INPUTS(columns)                                                                                                \
    {                                                                                                                  \
        {.name = "x", .cols = columns}, {.name = "y", .cols = columns}, { .name = "w", .cols = columns }               \
    }

const OpTest lerp_test = {
    .name = "lerp",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "lengths", .B = 1, .input = INPUTS(40)},
            {.name = "one column", .B = 2, .T = 5, .input = INPUTS(1)},
            {.name = "several vectors a lane", .B = 1, .T = 3, .input = INPUTS(520)},
            {.name = "weights of a sigmoid",
             .B = 1,
             .T = 15,
             .input = {{.name = "x", .cols = 24}, {.name = "y", .cols = 24}, {.name = "w", .cols = 24, .high = 1}}},
            {.name = "packed", .B = 2, .T = 65, .packed = true, .input = INPUTS(17)},
        },
};
