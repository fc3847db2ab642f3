#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: 1 for no silu. A third input, if there is one, is the bias. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = short_convolution(tape, in[0], in[1], c->input[2].cols ? in[2] : NULL, !c->integer[0]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols, width = c->input[1].cols;
    for (int64_t n = 0; n < batch->B * batch->T; n++)
        for (int64_t i = 0; i < cols; i++) {
            double z = c->input[2].cols ? in[2][i] : 0;
            for (int64_t w = 0; w < width; w++) {
                const int64_t back = width - 1 - w;
                if (back <= batch->position[n]) z += in[1][i * width + w] * in[0][(n - back) * cols + i];
            }
            out[0][n * cols + i] = c->integer[0] ? z : z / (1 + exp(-z));
        }
}

#define INPUTS(columns, width)                                                                                         \
    {                                                                                                                  \
        {.name = "x", .cols = columns}, { .name = "weight", .rows = columns, .cols = width, .parameter = true }        \
    }

#define BIASED_INPUTS(columns, width)                                                                                  \
    {                                                                                                                  \
        {.name = "x", .cols = columns}, {.name = "weight", .rows = columns, .cols = width, .parameter = true}, {       \
            .name = "bias", .rows = 1, .cols = columns, .parameter = true                                              \
        }                                                                                                              \
    }

const OpTest short_convolution_test = {
    .name = "short_convolution",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "width 4", .B = 2, .input = INPUTS(24, 4)},
            {.name = "width 3", .B = 1, .T = 20, .input = INPUTS(17, 3)},
            {.name = "width 2", .B = 2, .T = 20, .input = INPUTS(17, 2)},
            {.name = "width 1", .B = 2, .T = 20, .input = INPUTS(17, 1)},
            {.name = "width 5", .B = 2, .T = 70, .packed = true, .input = INPUTS(17, 5)},
            {.name = "width 7, bias", .B = 2, .T = 20, .input = BIASED_INPUTS(9, 7)},
            {.name = "width 64", .B = 1, .T = 150, .input = INPUTS(3, 64)},
            {.name = "width 64, no silu", .B = 2, .T = 130, .packed = true, .integer = {1}, .input = INPUTS(5, 64)},
            {.name = "more than one block of columns", .B = 1, .T = 9, .input = INPUTS(1100, 4)},
            {.name = "several strips of rows", .B = 1, .T = 150, .input = INPUTS(264, 4)},
            {.name = "bias", .B = 2, .T = 70, .packed = true, .input = BIASED_INPUTS(24, 4)},
            {.name = "no silu", .B = 2, .T = 70, .packed = true, .integer = {1}, .input = INPUTS(24, 4)},
            {.name = "bias, no silu", .B = 1, .T = 9, .integer = {1}, .input = BIASED_INPUTS(1100, 3)},
            {.name = "packed", .B = 3, .packed = true, .input = INPUTS(9, 4)},
            {.name = "packed, width 3", .B = 2, .T = 130, .packed = true, .input = INPUTS(9, 3)},
        },
};
