#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* A case's integer: 1 if the final state is wanted. A second input, if there is one, is the initial state. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    Tensor *initial = c->input[1].cols ? in[1] : NULL;
    out[0] = running_softmax(tape, in[0], initial, &out[1], c->integer[0] ? &out[2] : NULL);
}

/* log(e^x + e^y) - x */
static double log_sum_above(double x, double y) { return y > x ? y - x + log1p(exp(x - y)) : log1p(exp(y - x)); }

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols, T = batch->T;
    for (int64_t column = 0; column < batch->B * cols; column++) {
        const int64_t b = column / cols, i = column % cols;
        double z = c->input[1].cols ? in[1][column] : 0;
        for (int64_t row = b * T; row < (b + 1) * T; row++) {
            const double s = in[0][row * cols + i];
            const bool begins = row == b * T ? !c->input[1].cols : batch->segment[row] != batch->segment[row - 1];
            const double rise = begins ? 0 : log_sum_above(z, s);
            z = begins ? s : z + rise;
            out[0][row * cols + i] = exp(s - z);
            out[1][row * cols + i] = -rise;
        }
        if (c->integer[0]) out[2][column] = z;
    }
}

#define S(columns, least, most)                                                                                        \
    { .name = "s", .cols = columns, .low = least, .high = most }
#define INITIAL(sequences, columns)                                                                                    \
    { .name = "initial", .rows = sequences, .cols = columns, .fp32 = true }

const OpTest running_softmax_test = {
    .name = "running_softmax",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "plain", .B = 2, .input = {S(24, -2, 2)}},
            {.name = "packed", .B = 3, .packed = true, .input = {S(17, -2, 2)}},
            {.name = "states", .B = 2, .integer = {1}, .input = {S(19, -2, 2), INITIAL(2, 19)}},
            {.name = "packed states", .B = 2, .packed = true, .integer = {1}, .input = {S(9, -2, 2), INITIAL(2, 9)}},
            {.name = "from -32 to 32", .B = 1, .T = 200, .integer = {1}, .input = {S(33, -32, 32), INITIAL(1, 33)}},
            {.name = "from -10000 to 10000", .B = 1, .T = 130, .packed = true, .input = {S(9, -1e4, 1e4)}},
            {.name = "-10000 or 10000",
             .B = 1,
             .T = 130,
             .input = {{.name = "s", .cols = 9, .low = -1e4, .high = 1e4, .either = true}}},
            {.name = "around 10000", .B = 1, .T = 130, .input = {S(9, 9998, 10002)}},
            {.name = "equal", .B = 1, .T = 200, .input = {{.name = "s", .cols = 9, .low = 3, .high = 3}}},
            {.name = "more than one block of columns",
             .B = 1,
             .T = 70,
             .integer = {1},
             .input = {S(300, -2, 2), INITIAL(1, 300)}},
            {.name = "more chunks than the carry holds", .B = 1, .T = 2200, .packed = true, .input = {S(5, -2, 2)}},
        },
};
