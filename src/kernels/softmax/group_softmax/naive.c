#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: the number of columns of a group. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = group_softmax(tape, in[0], c->integer[0]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->integer[0], groups = batch->B * batch->T * c->input[0].cols / cols;
    for (int64_t group = 0; group < groups; group++) {
        const double *x = in[0] + group * cols;
        double largest = x[0], sum = 0;
        for (int64_t i = 1; i < cols; i++) largest = fmax(largest, x[i]);
        for (int64_t i = 0; i < cols; i++) sum += exp(x[i] - largest);
        for (int64_t i = 0; i < cols; i++) out[0][group * cols + i] = exp(x[i] - largest) / sum;
    }
}

const OpTest group_softmax_test = {
    .name = "group_softmax",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "one group", .B = 1, .integer = {64}, .input = {{.name = "x", .cols = 64}}},
            {.name = "groups", .B = 2, .T = 33, .integer = {64}, .input = {{.name = "x", .cols = 256}}},
            {.name = "short groups", .B = 2, .T = 33, .integer = {16}, .input = {{.name = "x", .cols = 48}}},
            {.name = "odd groups", .B = 2, .T = 33, .integer = {19}, .input = {{.name = "x", .cols = 57}}},
            {.name = "long groups", .B = 1, .T = 9, .integer = {512}, .input = {{.name = "x", .cols = 1024}}},
            {.name = "longer than a warp has",
             .B = 1,
             .T = 5,
             .integer = {2100},
             .input = {{.name = "x", .cols = 2100}}},
            {.name = "large numbers",
             .B = 1,
             .T = 65,
             .integer = {32},
             .input = {{.name = "x", .cols = 64, .low = -1000, .high = 1000}}},
            {.name = "packed", .B = 2, .T = 30, .packed = true, .integer = {8}, .input = {{.name = "x", .cols = 24}}},
        },
};
