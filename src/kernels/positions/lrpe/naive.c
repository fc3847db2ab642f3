#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

enum { X, THETA };

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    out[0] = lrpe(tape, in[X], in[THETA]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[X].cols, D = c->input[THETA].cols;
    for (int64_t row = 0; row < batch->B * batch->T; row++) {
        for (int64_t i = 0; i < cols; i++) {
            const double angle = (double)batch->position[row] * in[THETA][i], x = in[X][row * cols + i];
            double *y = out[0] + row * 2 * cols + i / D * 2 * D + i % D;
            y[0] = x * cos(angle);
            y[D] = x * sin(angle);
        }
    }
}

#define INPUTS(heads, D)                                                                                               \
    {.name = "x", .cols = (heads) * (D)}, {                                                                            \
        .name = "theta", .rows = heads, .cols = D, .parameter = true, .low = 1e-4, .high = 1                           \
    }

const OpTest lrpe_test = {
    .name = "lrpe",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "two heads", .B = 2, .input = {INPUTS(2, 16)}},
            {.name = "packed", .B = 3, .packed = true, .input = {INPUTS(2, 24)}},
            {.name = "odd heads", .B = 2, .T = 33, .packed = true, .input = {INPUTS(3, 7)}},
            {.name = "wide heads", .B = 1, .T = 70, .input = {INPUTS(2, 128)}},
        },
};
