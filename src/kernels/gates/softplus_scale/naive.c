#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    out[0] = softplus_scale(tape, in[0], in[1], in[2]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols, heads = c->input[1].cols, head_cols = cols / heads;
    for (int64_t n = 0; n < batch->B * batch->T; n++)
        for (int64_t i = 0; i < cols; i++) {
            const double z = in[1][n * heads + i / head_cols] + in[2][i / head_cols];
            out[0][n * cols + i] = (fmax(z, 0) + log1p(exp(-fabs(z)))) * in[0][n * cols + i];
        }
}

#define INPUTS(heads, head_cols, low_dt, high_dt)                                                                      \
    {                                                                                                                  \
        {.name = "x", .cols = (heads) * (head_cols)}, {.name = "dt", .cols = heads, .low = low_dt, .high = high_dt}, { \
            .name = "dt_bias", .rows = 1, .cols = heads, .parameter = true                                             \
        }                                                                                                              \
    }

const OpTest softplus_scale_test = {
    .name = "softplus_scale",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "heads", .B = 1, .input = INPUTS(4, 16, -3, 3)},
            {.name = "odd sizes", .B = 2, .T = 40, .input = INPUTS(3, 17, -3, 3)},
            {.name = "large numbers", .B = 1, .T = 65, .input = INPUTS(5, 9, -80, 80)},
            {.name = "packed", .B = 2, .T = 30, .packed = true, .input = INPUTS(2, 8, -3, 3)},
        },
};
