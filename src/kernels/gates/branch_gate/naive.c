#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: heads. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = branch_gate(tape, in[0], in + 1, c->integer[0]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t heads = c->integer[0], cols = c->input[1].cols, D = cols / heads;
    for (int64_t i = 0; i < batch->B * batch->T * cols; i++) {
        const double *gate = in[0] + (i / cols * heads + i % cols / D) * 3;
        out[0][i] = 0;
        for (int b = 0; b < 3; b++) out[0][i] += in[1 + b][i] / (1 + exp(-gate[b]));
    }
}

#define INPUTS(gates, columns)                                                                                         \
    {                                                                                                                  \
        {.name = "gate", .cols = gates}, {.name = "x0", .cols = columns}, {.name = "x1", .cols = columns}, {           \
            .name = "x2", .cols = columns                                                                              \
        }                                                                                                              \
    }

const OpTest branch_gate_test = {
    .name = "branch_gate",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "lengths", .B = 1, .integer = {2}, .input = INPUTS(6, 2 * 16)},
            {.name = "odd head size", .B = 2, .T = 33, .integer = {3}, .input = INPUTS(9, 3 * 7)},
            {.name = "many heads", .B = 1, .T = 20, .integer = {64}, .input = INPUTS(192, 64 * 32)},
            {.name = "packed", .B = 2, .T = 40, .packed = true, .integer = {4}, .input = INPUTS(12, 4 * 64)},
            {.name = "strong gates",
             .B = 1,
             .T = 15,
             .integer = {2},
             .input = {{.name = "gate", .cols = 6, .low = -100, .high = 100},
                       {.name = "x0", .cols = 32},
                       {.name = "x1", .cols = 32},
                       {.name = "x2", .cols = 32}}},
        },
};
