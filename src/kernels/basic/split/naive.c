#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: how many parts, then the columns of each. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    split(tape, in[0], c->integer + 1, (int)c->integer[0], out);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols;
    int64_t column = 0;
    for (int part = 0; part < c->integer[0]; part++) {
        const int64_t width = c->integer[1 + part];
        for (int64_t n = 0; n < batch->B * batch->T; n++)
            for (int64_t i = 0; i < width; i++) out[part][n * width + i] = in[0][n * cols + column + i];
        column += width;
    }
}

#define X(columns)                                                                                                     \
    {                                                                                                                  \
        { .name = "x", .cols = columns, .contiguous = true }                                                           \
    }

const OpTest split_test = {
    .name = "split",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "three parts", .B = 1, .integer = {3, 24, 1, 7}, .input = X(32)},
            {.name = "the whole", .B = 2, .T = 5, .integer = {1, 9}, .input = X(9)},
            {.name = "packed", .B = 2, .T = 40, .packed = true, .integer = {2, 4, 4}, .input = X(8)},
        },
};
