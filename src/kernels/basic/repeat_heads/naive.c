#include "kernels/ops.h"
#include "ops/op_test.h"

/* A case's integers: heads, and how often each is repeated. */
enum { HEADS, GROUP };

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = repeat_heads(tape, in[0], c->integer[HEADS], c->integer[GROUP]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols, group = c->integer[GROUP], width = cols / c->integer[HEADS];
    for (int64_t i = 0; i < batch->B * batch->T * cols * group; i++) {
        const int64_t row = i / (cols * group), head = i / width % (c->integer[HEADS] * group);
        out[0][i] = in[0][row * cols + head / group * width + i % width];
    }
}

const OpTest repeat_heads_test = {
    .name = "repeat_heads",
    .build = build,
    .naive = naive,
    .cases = {
        {.name = "twice", .B = 1, .integer = {2, 2}, .input = {{.name = "x", .cols = 32}}},
        {.name = "odd", .B = 2, .T = 65, .packed = true, .integer = {3, 4}, .input = {{.name = "x", .cols = 21}}},
        {.name = "wide", .B = 1, .T = 30, .integer = {2, 3}, .input = {{.name = "x", .cols = 512}}},
    }};
