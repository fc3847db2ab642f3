#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: the parts. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    linear_parts(tape, in[0], in[1], (int)c->integer[0], out);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols, rows = c->input[1].rows, width = cols / c->integer[0];
    for (int64_t n = 0; n < batch->B * batch->T; n++)
        for (int64_t part = 0; part < c->integer[0]; part++)
            for (int64_t i = 0; i < rows; i++) {
                double sum = 0;
                for (int64_t j = part * width; j < (part + 1) * width; j++)
                    sum += in[0][n * cols + j] * in[1][i * cols + j];
                out[part][n * rows + i] = sum;
            }
}

#define INPUTS(rows_, columns)                                                                                         \
    {                                                                                                                  \
        {.name = "x", .cols = columns}, { .name = "weight", .rows = rows_, .cols = columns, .parameter = true }        \
    }

const OpTest linear_parts_test = {
    .name = "linear_parts",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "five parts", .B = 1, .integer = {5}, .input = INPUTS(24, 5 * 8)},
            {.name = "odd", .B = 2, .T = 7, .integer = {3}, .input = INPUTS(5, 3 * 7)},
            {.name = "packed", .B = 2, .T = 40, .packed = true, .integer = {2}, .input = INPUTS(16, 2 * 16)},
        },
};
