#include "kernels/ops.h"
#include "ops/op_test.h"

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    out[0] = add_loss(tape, in[0], 0.25f);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols;
    const int64_t N = batch->B * batch->T, T = batch->T;
    for (int64_t n = 0; n < N; n++) {
        double targets = 0;
        for (int64_t t = 0; t < T; t++) targets += batch->labels[n / T * T + t] >= 0;
        out[0][n] = 0;
        for (int64_t i = 0; i < cols; i++) out[0][n] += 0.25 * targets / (double)T * in[0][n * cols + i];
    }
}

#define X(columns)                                                                                                     \
    {                                                                                                                  \
        { .name = "x", .cols = columns, .fp32 = true }                                                                 \
    }

const OpTest add_loss_test = {.name = "add_loss",
                              .plain_sum = true,
                              .build = build,
                              .naive = naive,
                              .cases = {{.name = "lengths", .B = 2, .input = X(3)},
                                        {.name = "short sequences", .B = 70, .T = 3, .input = X(40)},
                                        {.name = "one column", .B = 1, .T = 33, .input = X(1)},
                                        {.name = "many", .B = 1, .T = 20, .input = X(300)}}};
