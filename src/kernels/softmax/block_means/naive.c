#include "kernels/ops.h"
#include "kernels/softmax/document_blocks.h"
#include "ops/op_test.h"

/* integer: the number of tokens of a block. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = block_means(tape, in[0], c->integer[0]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t block = c->integer[0], cols = c->input[0].cols, T = batch->T, rows = block_rows(T, block);
    for (int64_t i = 0; i < batch->B * rows * cols; i++) out[0][i] = 0;
    for (int64_t n = 0; n < batch->B * T; n++) {
        const int64_t first = n - batch->position[n] % block, end = first + block;
        if (end > (n / T + 1) * T || batch->segment[end - 1] != batch->segment[first]) continue;
        double *y = out[0] + (n / T * rows + first % T / block) * cols;
        for (int64_t i = 0; i < cols; i++) y[i] += in[0][n * cols + i] / (double)block;
    }
}

#define X(columns)                                                                                                     \
    {                                                                                                                  \
        { .name = "x", .cols = columns }                                                                               \
    }

const OpTest block_means_test = {
    .name = "block_means",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "lengths", .B = 2, .integer = {16}, .input = X(40)},
            {.name = "odd block", .B = 2, .T = 100, .integer = {7}, .input = X(17)},
            {.name = "block of one", .B = 1, .T = 20, .integer = {1}, .input = X(24)},
            {.name = "packed", .B = 2, .T = 200, .packed = true, .integer = {16}, .input = X(64)},
            {.name = "packed, short blocks", .B = 2, .T = 130, .packed = true, .integer = {3}, .input = X(33)},
        },
};
