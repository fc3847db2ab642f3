#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: the numbers of inputs and of weights. */
enum { PARTS, COUNT };

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    const int parts = (int)c->integer[PARTS];
    linear_concatenated(tape, in, parts, in + parts, (int)c->integer[COUNT], out);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t parts = c->integer[PARTS];
    for (int64_t n = 0; n < batch->B * batch->T; n++)
        for (int64_t w = 0; w < c->integer[COUNT]; w++)
            for (int64_t i = 0; i < c->input[parts + w].rows; i++) {
                const double *weight = in[parts + w] + i * c->input[parts + w].cols;
                double sum = 0;
                for (int64_t p = 0; p < parts; p++)
                    for (int64_t j = 0; j < c->input[p].cols; j++) sum += *weight++ * in[p][n * c->input[p].cols + j];
                out[w][n * c->input[parts + w].rows + i] = sum;
            }
}

#define OF_WEIGHT(of_name, of_rows, columns)                                                                           \
    { .name = of_name, .rows = of_rows, .cols = columns, .parameter = true }

const OpTest linear_concatenated_test = {
    .name = "linear_concatenated",
    .build = build,
    .naive = naive,
    .cases = {
        {.name = "two weights",
         .B = 1,
         .integer = {3, 2},
         .input = {{.name = "x", .cols = 24},
                   {.name = "y", .cols = 24},
                   {.name = "z", .cols = 24},
                   OF_WEIGHT("W", 4, 72),
                   OF_WEIGHT("U", 4, 72)}},
        {.name = "odd",
         .B = 2,
         .T = 7,
         .integer = {2, 1},
         .input = {{.name = "x", .cols = 5}, {.name = "y", .cols = 12}, OF_WEIGHT("W", 3, 17)}},
        {.name = "packed",
         .B = 2,
         .T = 40,
         .packed = true,
         .integer = {1, 2},
         .input = {{.name = "x", .cols = 16}, OF_WEIGHT("W", 2, 16), OF_WEIGHT("U", 1, 16)}},
    }};
