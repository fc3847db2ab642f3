#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: the kind. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = activation(tape, in[0], (Activation)c->integer[0]);
}

static double value(double x, Activation kind) {
    switch (kind) {
    case ACTIVATION_SILU:
        return x / (1 + exp(-x));
    case ACTIVATION_RELU:
        return x > 0 ? x : 0;
    case ACTIVATION_SIGMOID:
        return 1 / (1 + exp(-x));
    case ACTIVATION_ONE_PLUS_ELU:
        return x > 0 ? 1 + x : exp(x);
    case ACTIVATION_TANH:
        return tanh(x);
    case ACTIVATION_SQUARED_RELU:
        return x > 0 ? x * x : 0;
    case ACTIVATION_GELU:
        return x / 2 * erfc(-x / sqrt(2));
    case ACTIVATION_LOG_1P_RELU:
        return x > 0 ? log1p(x) : 0;
    case ACTIVATION_EXP_M1:
        return expm1(x);
    default:
        return NAN;
    }
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t n = batch->B * batch->T * c->input[0].cols;
    for (int64_t i = 0; i < n; i++) out[0][i] = value(in[0][i], (Activation)c->integer[0]);
}

#define X(columns)                                                                                                     \
    {                                                                                                                  \
        { .name = "x", .cols = columns }                                                                               \
    }

const OpTest activation_test = {
    .name = "activation",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "silu", .B = 1, .integer = {ACTIVATION_SILU}, .input = X(40)},
            {.name = "relu", .B = 2, .T = 33, .integer = {ACTIVATION_RELU}, .input = X(40)},
            {.name = "sigmoid", .B = 2, .T = 33, .integer = {ACTIVATION_SIGMOID}, .input = X(19)},
            {.name = "1 + elu", .B = 2, .T = 33, .integer = {ACTIVATION_ONE_PLUS_ELU}, .input = X(19)},
            {.name = "silu, large numbers",
             .B = 1,
             .T = 65,
             .integer = {ACTIVATION_SILU},
             .input = {{.name = "x", .cols = 19, .low = -200, .high = 200}}},
            {.name = "sigmoid, large numbers",
             .B = 1,
             .T = 65,
             .integer = {ACTIVATION_SIGMOID},
             .input = {{.name = "x", .cols = 19, .low = -200, .high = 200}}},
            {.name = "gelu", .B = 2, .T = 33, .integer = {ACTIVATION_GELU}, .input = X(19)},
            {.name = "gelu, large numbers",
             .B = 1,
             .T = 65,
             .integer = {ACTIVATION_GELU},
             .input = {{.name = "x", .cols = 19, .low = -30, .high = 30}}},
            {.name = "tanh", .B = 2, .T = 33, .integer = {ACTIVATION_TANH}, .input = X(19)},
            {.name = "tanh, large numbers",
             .B = 1,
             .T = 65,
             .integer = {ACTIVATION_TANH},
             .input = {{.name = "x", .cols = 19, .low = -200, .high = 200}}},
            {.name = "squared relu", .B = 2, .T = 33, .integer = {ACTIVATION_SQUARED_RELU}, .input = X(40)},
            {.name = "ln(1 + relu)", .B = 2, .T = 33, .integer = {ACTIVATION_LOG_1P_RELU}, .input = X(40)},
            {.name = "ln(1 + relu), large numbers",
             .B = 1,
             .T = 65,
             .integer = {ACTIVATION_LOG_1P_RELU},
             .input = {{.name = "x", .cols = 19, .low = -1e5, .high = 1e6}}},
            {.name = "e^x - 1", .B = 2, .T = 33, .integer = {ACTIVATION_EXP_M1}, .input = X(19)},
            {.name = "packed", .B = 2, .T = 30, .packed = true, .integer = {ACTIVATION_RELU}, .input = X(9)},
        },
};

/* real: the factor. */
static void build_gate(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = sigmoid_gate(tape, in[0], (float)c->real[0]);
}

static void naive_gate(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t n = batch->B * batch->T * c->input[0].cols;
    for (int64_t i = 0; i < n; i++) out[0][i] = c->real[0] / (1 + exp(-in[0][i]));
}

const OpTest sigmoid_gate_test = {
    .name = "sigmoid_gate",
    .build = build_gate,
    .naive = naive_gate,
    .cases =
        {
            {.name = "factor 1", .B = 1, .real = {1}, .input = {{.name = "x", .cols = 6}}},
            {.name = "factor 2", .B = 2, .T = 40, .real = {2}, .input = {{.name = "x", .cols = 17}}},
            {.name = "large numbers",
             .B = 1,
             .T = 65,
             .real = {1},
             .input = {{.name = "x", .cols = 9, .low = -200, .high = 200}}},
            {.name = "packed", .B = 2, .T = 30, .packed = true, .real = {2}, .input = {{.name = "x", .cols = 3}}},
        },
};

static void build_decay(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    out[0] = exponential_decay(tape, in[0]);
}

static void naive_decay(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t n = batch->B * batch->T * c->input[0].cols;
    for (int64_t i = 0; i < n; i++) out[0][i] = -exp(in[0][i]);
}

const OpTest exponential_decay_test = {
    .name = "exponential_decay",
    .build = build_decay,
    .naive = naive_decay,
    .cases =
        {
            {.name = "plain", .B = 1, .input = X(40)},
            {.name = "from nothing to all",
             .B = 2,
             .T = 40,
             .input = {{.name = "x", .cols = 17, .low = -40, .high = 4}}},
            {.name = "packed", .B = 2, .T = 30, .packed = true, .input = X(9)},
        },
};
