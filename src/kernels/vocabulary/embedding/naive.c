#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: padding index plus 1. The forward does not show that a padding row gets no gradient; test_embedding.c tests
 * this. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = embedding(tape, in[0], c->integer[0] - 1);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols;
    for (int64_t n = 0; n < batch->B * batch->T; n++)
        for (int64_t i = 0; i < cols; i++) out[0][n * cols + i] = in[0][batch->tokens[n] * cols + i];
}

#define TABLE(vocabulary, columns)                                                                                     \
    {                                                                                                                  \
        { .name = "table", .rows = vocabulary, .cols = columns, .parameter = true }                                    \
    }

const OpTest embedding_test = {
    .name = "embedding",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "lengths", .B = 2, .vocabulary = 20, .input = TABLE(20, 40)},
            {.name = "more than one block of columns", .B = 1, .T = 33, .vocabulary = 5, .input = TABLE(5, 1100)},
            {.name = "packed", .B = 2, .T = 30, .packed = true, .vocabulary = 3, .input = TABLE(3, 7)},
        },
};
