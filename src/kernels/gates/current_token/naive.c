#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: heads. Inputs: o, q, k, v, u. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = current_token(tape, in[0], in[1], in[2], in[3], in[4], c->integer[0]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t heads = c->integer[0], K = c->input[1].cols / heads, V = c->input[3].cols / heads;
    for (int64_t n = 0; n < batch->B * batch->T; n++)
        for (int64_t h = 0; h < heads; h++) {
            const int64_t key = (n * heads + h) * K, value = (n * heads + h) * V;
            double sum = 0;
            for (int64_t d = 0; d < K; d++) sum += in[1][key + d] * in[4][h * K + d] * in[2][key + d];
            for (int64_t j = 0; j < V; j++) out[0][value + j] = in[0][value + j] + sum * in[3][value + j];
        }
}

#define INPUTS(heads, K, V)                                                                                            \
    {                                                                                                                  \
        {.name = "o", .cols = (heads) * (V)}, {.name = "q", .cols = (heads) * (K)},                                    \
            {.name = "k", .cols = (heads) * (K)}, {.name = "v", .cols = (heads) * (V)}, {                              \
            .name = "u", .rows = heads, .cols = K, .parameter = true                                                   \
        }                                                                                                              \
    }

const OpTest current_token_test = {
    .name = "current_token",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "two heads", .B = 1, .integer = {2}, .input = INPUTS(2, 64, 64)},
            {.name = "wide values", .B = 2, .T = 33, .integer = {3}, .input = INPUTS(3, 16, 48)},
            {.name = "wide keys, odd", .B = 1, .T = 40, .integer = {2}, .input = INPUTS(2, 19, 5)},
            {.name = "large heads", .B = 1, .T = 9, .integer = {1}, .input = INPUTS(1, 256, 512)},
            {.name = "packed", .B = 2, .T = 30, .packed = true, .integer = {1}, .input = INPUTS(1, 8, 8)},
        },
};
