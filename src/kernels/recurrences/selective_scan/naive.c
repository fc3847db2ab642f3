#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

enum { X, TIME, IN, OUT, A_LOG, DT_BIAS, INITIAL };

/* A case's integer: 1 if the final state is wanted. The last input, if it is there, is the initial state. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    Tensor *initial = c->input[INITIAL].cols ? in[INITIAL] : NULL;
    out[0] = selective_scan(tape, in[X], in[TIME], in[IN], in[OUT], in[A_LOG], in[DT_BIAS], initial,
                            c->integer[0] ? &out[1] : NULL);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[X].cols, N = c->input[IN].cols, T = batch->T;
    double h[64];
    for (int64_t i = 0; i < batch->B * cols; i++) {
        const int64_t b = i / cols, column = i % cols;
        for (int64_t n = 0; n < N; n++) h[n] = c->input[INITIAL].cols ? in[INITIAL][i * N + n] : 0;
        for (int64_t row = b * T; row < (b + 1) * T; row++) {
            const bool begins = row > b * T && batch->segment[row] != batch->segment[row - 1];
            const double raw = in[TIME][row * cols + column] + in[DT_BIAS][column];
            const double t = fmax(raw, 0) + log1p(exp(-fabs(raw))), x = in[X][row * cols + column];
            double y = 0;
            for (int64_t n = 0; n < N; n++) {
                const double decay = exp(-t * exp(in[A_LOG][column * N + n]));
                h[n] = (begins ? 0 : decay * h[n]) + t * in[IN][row * N + n] * x;
                y += in[OUT][row * N + n] * h[n];
            }
            out[0][row * cols + column] = y;
        }
        for (int64_t n = 0; n < N && c->integer[0]; n++) out[1][i * N + n] = h[n];
    }
}

#define INPUTS_OF(columns, states, low_dt, high_dt, low_A, high_A)                                                     \
    {.name = "x", .cols = columns}, {.name = "dt", .cols = columns, .low = low_dt, .high = high_dt},                   \
        {.name = "B", .cols = states}, {.name = "C", .cols = states},                                                  \
        {.name = "A_log", .rows = columns, .cols = states, .parameter = true, .low = low_A, .high = high_A}, {         \
        .name = "dt_bias", .rows = 1, .cols = columns, .parameter = true, .low = -0.5, .high = 0.5                     \
    }
/* Inputs with dt from about 0.03 to 0.3, and A from -1 to -16. */
#define USUAL(columns, states) INPUTS_OF(columns, states, -3.5, -1, 0, 2.8)
#define INITIAL_OF(sequences, columns, states)                                                                         \
    { .name = "initial", .rows = (sequences) * (columns), .cols = states, .fp32 = true }

const OpTest selective_scan_test = {
    .name = "selective_scan",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "plain", .B = 2, .input = {USUAL(24, 16)}},
            {.name = "packed", .B = 3, .packed = true, .input = {USUAL(9, 16)}},
            {.name = "states", .B = 2, .integer = {1}, .input = {USUAL(10, 16), INITIAL_OF(2, 10, 16)}},
            {.name = "packed states",
             .B = 2,
             .packed = true,
             .integer = {1},
             .input = {USUAL(5, 7), INITIAL_OF(2, 5, 7)}},
            {.name = "one state", .B = 1, .T = 70, .input = {USUAL(8, 1)}},
            {.name = "more than a block of states",
             .B = 2,
             .T = 75,
             .packed = true,
             .integer = {1},
             .input = {USUAL(6, 37), INITIAL_OF(2, 6, 37)}},
            {.name = "most states", .B = 1, .T = 33, .input = {USUAL(5, 64)}},
            {.name = "more than a block of columns", .B = 1, .T = 37, .integer = {1}, .input = {USUAL(150, 4)}},
            {.name = "parts",
             .B = 1,
             .T = 521,
             .packed = true,
             .integer = {1},
             .input = {INPUTS_OF(3, 5, -7, -3, -3, 0), INITIAL_OF(1, 3, 5)}},
            {.name = "time steps from 0.0001 to 10",
             .B = 1,
             .T = 150,
             .integer = {1},
             .input = {INPUTS_OF(8, 16, -9, 10, 0, 2.8), INITIAL_OF(1, 8, 16)}},
            {.name = "rates to 64", .B = 1, .T = 70, .input = {INPUTS_OF(8, 16, -9, 1, 2, 4.16)}},
            {.name = "keep all",
             .B = 1,
             .T = 200,
             .integer = {1},
             .input = {INPUTS_OF(6, 16, -9, -7, -4, 0), INITIAL_OF(1, 6, 16)}},
        },
};
