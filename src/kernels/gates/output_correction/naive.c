#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    out[0] = output_correction(tape, in[0], in[1], in[2], in[3]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols, width = cols / c->input[2].cols;
    for (int64_t i = 0; i < batch->B * batch->T * cols; i++) {
        const int64_t head = i % cols / width;
        out[0][i] = in[0][i] - in[2][head] / (1 + exp(-in[3][head])) * in[1][i];
    }
}

#define INPUTS(columns, heads)                                                                                         \
    {.name = "q", .cols = columns}, {.name = "k", .cols = columns},                                                    \
        {.name = "D", .rows = 1, .cols = heads, .parameter = true}, {                                                  \
        .name = "decay", .rows = 1, .cols = heads, .parameter = true                                                   \
    }

const OpTest output_correction_test = {
    .name = "output_correction",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "lengths", .B = 1, .input = {INPUTS(64, 4)}},
            {.name = "odd heads", .B = 2, .T = 40, .input = {INPUTS(51, 3)}},
            {.name = "one wide head", .B = 1, .T = 9, .input = {INPUTS(1100, 1)}},
            {.name = "packed", .B = 2, .T = 30, .packed = true, .input = {INPUTS(16, 2)}},
        },
};
