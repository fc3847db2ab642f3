#include <math.h>
#include <string.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* A case's integer: 1 if the final state is wanted. A fourth input, if there is one, is the initial state. */
enum { X, HIDDEN, BIAS, INITIAL, WIDEST = 160 };

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static void build_lstm(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = lstm(tape, in[X], in[HIDDEN], in[BIAS], c->input[INITIAL].cols ? in[INITIAL] : NULL,
                  c->integer[0] ? &out[1] : NULL);
}
static void build_gru(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = gru(tape, in[X], in[HIDDEN], in[BIAS], c->input[INITIAL].cols ? in[INITIAL] : NULL,
                 c->integer[0] ? &out[1] : NULL);
}

/* state: h, and for the LSTM c after it; x: the token's inputs; p: its products and biases. */
static void lstm_token(double *state, const double *x, const double *p, int64_t D) {
    for (int64_t j = 0; j < D; j++) {
        double a[4];
        for (int64_t g = 0; g < 4; g++) a[g] = x[g * D + j] + p[g * D + j];
        state[D + j] = sigmoid(a[1]) * state[D + j] + sigmoid(a[0]) * tanh(a[2]);
        state[j] = sigmoid(a[3]) * tanh(state[D + j]);
    }
}
static void gru_token(double *state, const double *x, const double *p, int64_t D) {
    for (int64_t j = 0; j < D; j++) {
        const double r = sigmoid(x[j] + p[j]), z = sigmoid(x[D + j] + p[D + j]);
        state[j] = (1 - z) * tanh(x[2 * D + j] + r * p[2 * D + j]) + z * state[j];
    }
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[], int64_t states,
                  void (*token)(double *state, const double *x, const double *p, int64_t D)) {
    const int64_t D = c->input[HIDDEN].cols, rows = c->input[HIDDEN].rows, T = batch->T;
    for (int64_t b = 0; b < batch->B; b++) {
        double state[2 * WIDEST] = {0}, p[4 * WIDEST];
        const size_t bytes = (size_t)(states * D) * sizeof *state;
        if (c->input[INITIAL].cols) memcpy(state, in[INITIAL] + b * states * D, bytes);
        for (int64_t row = b * T; row < (b + 1) * T; row++) {
            if (row > b * T && batch->segment[row] != batch->segment[row - 1]) memset(state, 0, bytes);
            for (int64_t i = 0; i < rows; i++) {
                p[i] = in[BIAS][i];
                for (int64_t j = 0; j < D; j++) p[i] += in[HIDDEN][i * D + j] * state[j];
            }
            token(state, in[X] + row * rows, p, D);
            memcpy(out[0] + row * D, state, (size_t)D * sizeof *state);
        }
        if (c->integer[0]) memcpy(out[1] + b * states * D, state, bytes);
    }
}

static void naive_lstm(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    naive(c, batch, in, out, 2, lstm_token);
}
static void naive_gru(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    naive(c, batch, in, out, 1, gru_token);
}

/* Inputs with weights between -size and size. */
#define INPUTS(gates, D, size)                                                                                         \
    {.name = "x", .cols = (gates) * (D)},                                                                              \
        {.name = "hidden", .rows = (gates) * (D), .cols = D, .parameter = true, .low = -(size), .high = size}, {       \
        .name = "bias", .rows = 1, .cols = (gates) * (D), .parameter = true, .low = -0.5, .high = 0.5                  \
    }
#define INITIAL_OF(sequences, columns)                                                                                 \
    { .name = "initial", .rows = sequences, .cols = columns, .fp32 = true, .low = -0.9, .high = 0.9 }

#define CASES(gates, states)                                                                                           \
    {                                                                                                                  \
        {.name = "plain", .B = 2, .input = {INPUTS(gates, 16, 0.4)}},                                                  \
            {.name = "packed", .B = 3, .packed = true, .input = {INPUTS(gates, 9, 0.5)}},                              \
            {.name = "states",                                                                                         \
             .B = 2,                                                                                                   \
             .integer = {1},                                                                                           \
             .input = {INPUTS(gates, 12, 0.4), INITIAL_OF(2, 12 * (states))}},                                         \
            {.name = "packed states",                                                                                  \
             .B = 2,                                                                                                   \
             .packed = true,                                                                                           \
             .integer = {1},                                                                                           \
             .input = {INPUTS(gates, 8, 0.4), INITIAL_OF(2, 8 * (states))}},                                           \
            {.name = "more than a block of columns",                                                                   \
             .B = 2,                                                                                                   \
             .T = 9,                                                                                                   \
             .packed = true,                                                                                           \
             .integer = {1},                                                                                           \
             .input = {INPUTS(gates, 136, 0.1), INITIAL_OF(2, 136 * (states))}},                                       \
            {.name = "saturated",                                                                                      \
             .B = 1,                                                                                                   \
             .T = 40,                                                                                                  \
             .integer = {1},                                                                                           \
             .input = {{.name = "x", .cols = (gates)*8, .low = -30, .high = 30},                                       \
                       {.name = "hidden", .rows = (gates)*8, .cols = 8, .parameter = true, .low = -1, .high = 1},      \
                       {.name = "bias", .rows = 1, .cols = (gates)*8, .parameter = true},                              \
                       INITIAL_OF(1, 8 * (states))}},                                                                  \
    }

const OpTest lstm_test = {.name = "lstm", .build = build_lstm, .naive = naive_lstm, .cases = CASES(4, 2)};
const OpTest gru_test = {.name = "gru", .build = build_gru, .naive = naive_gru, .cases = CASES(3, 1)};
