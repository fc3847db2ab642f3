#include "kernels/ops.h"
#include "ops/op_test.h"

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    out[0] = squared_error(tape, in[0], in[1]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    (void)c;
    for (int64_t n = 0; n < batch->B * batch->T; n++) {
        const double error = batch->labels[n] < 0 ? 0 : in[0][n] - in[1][n];
        out[0][n] = error * error;
    }
}

#define INPUTS                                                                                                         \
    {                                                                                                                  \
        {.name = "y", .cols = 1}, { .name = "value", .cols = 1, .fp32 = true, .contiguous = true }                     \
    }

const OpTest squared_error_test = {.name = "squared_error",
                                   .plain_sum = true,
                                   .build = build,
                                   .naive = naive,
                                   .cases = {{.name = "lengths", .B = 2, .input = INPUTS},
                                             {.name = "several programs", .B = 3, .T = 700, .input = INPUTS}}};
