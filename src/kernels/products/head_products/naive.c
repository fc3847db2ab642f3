#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: heads. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = head_products(tape, in[0], in[1], c->integer[0]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t heads = c->integer[0], cols = c->input[0].cols, K = cols / heads, R = c->input[1].rows;
    for (int64_t n = 0; n < batch->B * batch->T; n++)
        for (int64_t i = 0; i < heads * R; i++) {
            double sum = 0;
            for (int64_t e = i / R * K; e < (i / R + 1) * K; e++) sum += in[0][n * cols + e] * in[1][i % R * cols + e];
            out[0][n * heads * R + i] = sum;
        }
}

#define PRODUCT(rows_, columns)                                                                                        \
    {                                                                                                                  \
        {.name = "x", .cols = columns}, { .name = "m", .rows = rows_, .cols = columns }                                \
    }

const OpTest head_products_test = {
    .name = "head_products",
    .build = build,
    .naive = naive,
    .cases = {{.name = "lengths", .B = 1, .integer = {2}, .input = PRODUCT(24, 2 * 16)},
              {.name = "odd", .B = 2, .T = 33, .integer = {3}, .input = PRODUCT(17, 3 * 20)},
              {.name = "one head", .B = 1, .T = 70, .integer = {1}, .input = PRODUCT(129, 128)}}};
