#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* A case's integer: 1 if the final state is wanted. A third input, if there is one, is the initial state. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    Tensor *initial = c->input[2].cols ? in[2] : NULL;
    out[0] = diagonal_scan(tape, in[0], in[1], initial, c->integer[0] ? &out[1] : NULL);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols, T = batch->T;
    for (int64_t column = 0; column < batch->B * cols; column++) {
        const int64_t b = column / cols, i = column % cols;
        double h = c->input[2].cols ? in[2][column] : 0;
        for (int64_t row = b * T; row < (b + 1) * T; row++) {
            if (row > b * T && batch->segment[row] != batch->segment[row - 1]) h = 0;
            h = exp(in[1][row * cols + i]) * h + in[0][row * cols + i];
            out[0][row * cols + i] = h;
        }
        if (c->integer[0]) out[1][column] = h;
    }
}

#define INPUTS(columns, low_gate, high_gate)                                                                           \
    {.name = "x", .cols = columns}, { .name = "g", .cols = columns, .fp32 = true, .low = low_gate, .high = high_gate }
#define INITIAL(sequences, columns)                                                                                    \
    { .name = "initial", .rows = sequences, .cols = columns, .fp32 = true }

const OpTest diagonal_scan_test = {
    .name = "diagonal_scan",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "plain", .B = 2, .input = {INPUTS(24, -1, -1e-4)}},
            {.name = "packed", .B = 3, .packed = true, .input = {INPUTS(17, -1, -1e-4)}},
            {.name = "states", .B = 2, .integer = {1}, .input = {INPUTS(19, -0.2, 0), INITIAL(2, 19)}},
            {.name = "packed states",
             .B = 2,
             .packed = true,
             .integer = {1},
             .input = {INPUTS(9, -0.2, 0), INITIAL(2, 9)}},
            {.name = "forget all", .B = 1, .T = 65, .integer = {1}, .input = {INPUTS(9, -100, -50), INITIAL(1, 9)}},
            {.name = "keep all", .B = 1, .T = 200, .integer = {1}, .input = {INPUTS(9, -1e-6, 0), INITIAL(1, 9)}},
            {.name = "forget and keep", .B = 2, .T = 130, .packed = true, .input = {INPUTS(33, -60, 0)}},
            {.name = "more than one block of columns",
             .B = 1,
             .T = 9,
             .integer = {1},
             .input = {INPUTS(600, -1, 0), INITIAL(1, 600)}},
            {.name = "parts",
             .B = 2,
             .T = 401,
             .packed = true,
             .integer = {1},
             .input = {INPUTS(3, -0.2, 0), INITIAL(2, 3)}},
            {.name = "a state through all parts",
             .B = 1,
             .T = 521,
             .integer = {1},
             .input = {INPUTS(3, -1e-2, 0), INITIAL(1, 3)}},
        },
};
