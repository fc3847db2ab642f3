#include <string.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    out[0] = hand_on(tape, in[0]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    memcpy(out[0], in[0], (size_t)(batch->B * batch->T * c->input[0].cols) * sizeof(double));
}

const OpTest hand_on_test = {.name = "hand_on",
                             .build = build,
                             .naive = naive,
                             .cases = {{.name = "plain", .B = 2, .T = 5, .input = {{.name = "x", .cols = 24}}},
                                       {.name = "odd", .B = 1, .T = 7, .input = {{.name = "x", .cols = 9}}}}};
