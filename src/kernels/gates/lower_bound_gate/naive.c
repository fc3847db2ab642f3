#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: the layer, 1 if there is an input, 1 if there are bounds. Inputs: x, then those. */
enum { LAYER, HAS_INPUT, HAS_BOUNDS };

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    Tensor *input = c->integer[HAS_INPUT] ? in[1] : NULL;
    Tensor *bounds = c->integer[HAS_BOUNDS] ? in[1 + c->integer[HAS_INPUT]] : NULL;
    out[0] = lower_bound_gate(tape, in[0], input, bounds, c->integer[LAYER], &out[1]);
}

/* Layers `first` to `last` of softmax(bounds, over layers). */
static double share(const double *bounds, int64_t cols, int64_t column, int64_t first, int64_t last) {
    double sum = 0;
    for (int64_t l = first; l <= last; l++) sum += exp(bounds[l * cols + column]);
    return sum;
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols, n = batch->B * batch->T * cols;
    const OpInput *bounds = &c->input[1 + c->integer[HAS_INPUT]];
    for (int64_t i = 0; i < n; i++) {
        double bound = 0;
        if (c->integer[HAS_BOUNDS]) {
            const double *b = in[1 + c->integer[HAS_INPUT]];
            bound = share(b, cols, i % cols, 1, c->integer[LAYER]) / share(b, cols, i % cols, 0, bounds->rows - 1);
        }
        const double x = in[0][i], rest = (1 - bound) / (1 + exp(x));
        const double s = exp(-fabs(x)) / (1 + exp(-fabs(x))), f = bound + (1 - bound) * (x > 0 ? 1 - s : s);
        out[0][i] = rest < 0.5 ? log1p(-rest) : log(f);
        out[1][i] = c->integer[HAS_INPUT] ? rest * in[1][i] / (1 + exp(-in[1][i])) : rest;
    }
}

#define X(columns)                                                                                                     \
    { .name = "x", .cols = columns }
#define INPUT(columns)                                                                                                 \
    { .name = "input", .cols = columns }
#define BOUNDS(layers, columns)                                                                                        \
    { .name = "bounds", .rows = layers, .cols = columns, .parameter = true }
#define WIDE(columns)                                                                                                  \
    { .name = "x", .cols = columns, .low = -60, .high = 60 }

const OpTest lower_bound_gate_test = {
    .name = "lower_bound_gate",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "first layer", .B = 1, .integer = {0, 0, 1}, .input = {X(40), BOUNDS(3, 40)}},
            {.name = "second layer", .B = 2, .integer = {1, 0, 1}, .input = {X(24), BOUNDS(4, 24)}},
            {.name = "last layer", .B = 1, .T = 40, .integer = {4, 0, 1}, .input = {X(17), BOUNDS(5, 17)}},
            {.name = "input", .B = 2, .T = 33, .integer = {1, 1, 1}, .input = {X(24), INPUT(24), BOUNDS(3, 24)}},
            {.name = "input of the first layer",
             .B = 1,
             .T = 33,
             .integer = {0, 1, 1},
             .input = {X(24), INPUT(24), BOUNDS(2, 24)}},
            {.name = "no bounds", .B = 1, .T = 33, .integer = {3, 0, 0}, .input = {X(24)}},
            {.name = "input without bounds", .B = 1, .T = 33, .integer = {3, 1, 0}, .input = {X(24), INPUT(24)}},
            {.name = "large numbers", .B = 1, .T = 65, .integer = {1, 0, 1}, .input = {WIDE(24), BOUNDS(3, 24)}},
            {.name = "large numbers without bounds",
             .B = 1,
             .T = 65,
             .integer = {1, 1, 0},
             .input = {WIDE(24), INPUT(24)}},
            {.name = "nearly no decay",
             .B = 1,
             .T = 15,
             .integer = {1, 0, 1},
             .input = {{.name = "x", .cols = 24, .low = 5, .high = 12}, BOUNDS(3, 24)}},
            {.name = "more than one block of columns",
             .B = 1,
             .T = 9,
             .integer = {1, 0, 1},
             .input = {X(300), BOUNDS(3, 300)}},
            {.name = "packed",
             .B = 2,
             .T = 30,
             .packed = true,
             .integer = {1, 1, 1},
             .input = {X(9), INPUT(9), BOUNDS(3, 9)}},
        },
};
