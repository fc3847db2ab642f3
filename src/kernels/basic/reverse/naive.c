#include "kernels/ops.h"
#include "ops/op_test.h"

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    out[0] = reverse(tape, in[0]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols, T = batch->T;
    for (int64_t n = 0; n < batch->B * T; n++) {
        int64_t last = n;
        while (last + 1 < (n / T + 1) * T && batch->segment[last + 1] == batch->segment[n]) last++;
        for (int64_t i = 0; i < cols; i++) out[0][n * cols + i] = in[0][(last - batch->position[n]) * cols + i];
    }
}

const OpTest reverse_test = {
    .name = "reverse",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "lengths", .B = 2, .input = {{.name = "x", .cols = 40}}},
            {.name = "packed", .B = 3, .packed = true, .input = {{.name = "x", .cols = 17}}},
            {.name = "wide", .B = 2, .T = 33, .input = {{.name = "x", .cols = 1032}}},
        },
};
