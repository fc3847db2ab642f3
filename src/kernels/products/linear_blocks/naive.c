#include "kernels/ops.h"
#include "ops/op_test.h"

enum { X, WEIGHT };

/* integer: the number of weights. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    linear_blocks(tape, in[X], &in[WEIGHT], (int)c->integer[0], out);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[X].cols, n = cols / c->input[WEIGHT].rows;
    for (int64_t row = 0; row < batch->B * batch->T; row++)
        for (int64_t w = 0; w < c->integer[0]; w++)
            for (int64_t i = 0; i < cols; i++) {
                const double *x = in[X] + row * cols + i / n * n, *weight = in[WEIGHT + w] + i * n;
                double sum = 0;
                for (int64_t j = 0; j < n; j++) sum += weight[j] * x[j];
                out[w][row * cols + i] = sum;
            }
}

#define INPUT(columns)                                                                                                 \
    { .name = "x", .cols = columns }
#define OF_WEIGHT(of_name, columns, n)                                                                                 \
    { .name = of_name, .rows = (columns) / (n), .cols = (n) * (n), .parameter = true }

const OpTest linear_blocks_test = {
    .name = "linear_blocks",
    .build = build,
    .naive = naive,
    .cases = {
        {.name = "one weight", .B = 1, .integer = {1}, .input = {INPUT(64), OF_WEIGHT("W", 64, 4)}},
        {.name = "two weights",
         .B = 2,
         .T = 150,
         .packed = true,
         .integer = {2},
         .input = {INPUT(136), OF_WEIGHT("W", 136, 4), OF_WEIGHT("U", 136, 4)}},
        {.name = "two of odd numbers",
         .B = 3,
         .T = 7,
         .integer = {2},
         .input = {INPUT(36), OF_WEIGHT("W", 36, 4), OF_WEIGHT("U", 36, 4)}},
        {.name = "blocks of 1", .B = 1, .T = 70, .integer = {1}, .input = {INPUT(67), OF_WEIGHT("W", 67, 1)}},
        {.name = "blocks of 2", .B = 1, .T = 70, .integer = {1}, .input = {INPUT(30), OF_WEIGHT("W", 30, 2)}},
        {.name = "blocks of 8", .B = 1, .T = 70, .integer = {1}, .input = {INPUT(72), OF_WEIGHT("W", 72, 8)}},
        {.name = "blocks of 16", .B = 2, .T = 300, .integer = {1}, .input = {INPUT(80), OF_WEIGHT("W", 80, 16)}},
    }};
