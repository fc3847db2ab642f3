#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* real: eps. A third input, if there is one, is m. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = normalise(tape, in[0], in[1], c->input[2].cols ? in[2] : NULL, (float)c->real[0]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols, heads = c->input[1].cols;
    for (int64_t i = 0; i < batch->B * batch->T * cols; i++) {
        const int64_t head = i / (cols / heads);
        const double least = c->input[2].cols ? exp(-in[2][head]) : 0;
        out[0][i] = in[0][i] / (fmax(fabs(in[1][head]), least) + (double)(float)c->real[0]);
    }
}

/* z stays away from 0, where the quotient has a pole. */
#define INPUTS(columns, heads, least)                                                                                  \
    {.name = "x", .cols = columns}, { .name = "z", .cols = heads, .fp32 = true, .low = least, .high = 3 }
#define LEAST(heads)                                                                                                   \
    { .name = "m", .cols = heads, .fp32 = true, .low = -1, .high = 2 }

const OpTest normalise_test = {
    .name = "normalise",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "lengths", .B = 1, .real = {1e-5}, .input = {INPUTS(64, 4, 0.5)}},
            {.name = "odd heads", .B = 2, .T = 40, .real = {0.1}, .input = {INPUTS(51, 3, 0.5)}},
            {.name = "negative sums",
             .B = 1,
             .T = 40,
             .real = {1e-6},
             .input = {{.name = "x", .cols = 32}, {.name = "z", .cols = 2, .fp32 = true, .low = -3, .high = -0.5}}},
            {.name = "least", .B = 1, .real = {1e-6}, .input = {INPUTS(48, 3, -3), LEAST(3)}},
            {.name = "wide heads", .B = 1, .T = 9, .real = {1e-6}, .input = {INPUTS(1100, 2, -3), LEAST(2)}},
            {.name = "one column", .B = 1, .T = 9, .real = {1e-6}, .input = {INPUTS(3, 3, -3), LEAST(3)}},
            {.name = "packed", .B = 2, .T = 30, .packed = true, .real = {1e-6}, .input = {INPUTS(32, 2, -3), LEAST(2)}},
        },
};
