#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: the number of outputs, and whether there is an offset. Inputs: x, each mu, the offset. */
enum { COUNT, HAS_OFFSET };

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    const int count = (int)c->integer[COUNT];
    token_mix(tape, in[0], in + 1, c->integer[HAS_OFFSET] ? in[1 + count] : NULL, count, out);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols, count = c->integer[COUNT];
    const double *x = in[0], *offset = in[1 + count];
    for (int64_t k = 0; k < count; k++)
        for (int64_t n = 0; n < batch->B * batch->T; n++)
            for (int64_t i = 0; i < cols; i++) {
                const double before = batch->position[n] ? x[(n - 1) * cols + i] : 0;
                const double mu = c->input[1 + k].parameter ? in[1 + k][i] : in[1 + k][n * cols + i];
                const double m = mu + (c->integer[HAS_OFFSET] ? offset[k * cols + i] : 0);
                out[k][n * cols + i] = x[n * cols + i] + (before - x[n * cols + i]) * m;
            }
}

#define X(columns)                                                                                                     \
    { .name = "x", .cols = columns }
#define PARAMETER(columns)                                                                                             \
    { .name = "mu", .rows = 1, .cols = columns, .parameter = true }
#define ACTIVATION(columns)                                                                                            \
    { .name = "mu", .cols = columns }
#define OFFSET(count, columns)                                                                                         \
    { .name = "offset", .rows = count, .cols = columns, .parameter = true }
#define FIVE(mu, columns) mu(columns), mu(columns), mu(columns), mu(columns), mu(columns)

const OpTest token_mix_test = {
    .name = "token_mix",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "one parameter", .B = 2, .integer = {1}, .input = {X(40), PARAMETER(40)}},
            {.name = "two parameters", .B = 1, .T = 33, .integer = {2}, .input = {X(17), PARAMETER(17), PARAMETER(17)}},
            {.name = "three parameters",
             .B = 1,
             .T = 9,
             .integer = {3},
             .input = {X(24), PARAMETER(24), PARAMETER(24), PARAMETER(24)}},
            {.name = "four activations",
             .B = 2,
             .T = 9,
             .integer = {4},
             .input = {X(24), ACTIVATION(24), ACTIVATION(24), ACTIVATION(24), ACTIVATION(24)}},
            {.name = "six parameters, several strips",
             .B = 1,
             .T = 300,
             .integer = {6},
             .input = {X(264), PARAMETER(264), FIVE(PARAMETER, 264)}},
            {.name = "six parameters, packed",
             .B = 3,
             .packed = true,
             .integer = {6},
             .input = {X(9), PARAMETER(9), FIVE(PARAMETER, 9)}},
            {.name = "six activations and an offset, packed",
             .B = 2,
             .T = 33,
             .packed = true,
             .integer = {6, 1},
             .input = {X(40), ACTIVATION(40), FIVE(ACTIVATION, 40), OFFSET(6, 40)}},
            {.name = "five activations and an offset",
             .B = 2,
             .integer = {5, 1},
             .input = {X(24), FIVE(ACTIVATION, 24), OFFSET(5, 24)}},
            {.name = "five activations and an offset, several blocks",
             .B = 1,
             .T = 150,
             .packed = true,
             .integer = {5, 1},
             .input = {X(520), FIVE(ACTIVATION, 520), OFFSET(5, 520)}},
            {.name = "one activation, odd", .B = 2, .T = 65, .integer = {1}, .input = {X(7), ACTIVATION(7)}},
            {.name = "one token", .B = 3, .T = 1, .integer = {1, 1}, .input = {X(40), ACTIVATION(40), OFFSET(1, 40)}},
        },
};
