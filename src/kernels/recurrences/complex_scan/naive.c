#include <complex.h>
#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* A case's integers: 1 if the final state is wanted, and 1 if the decay is cartesian. A fifth input, if there is one,
 * is the initial state. */
enum { Q, K, V, DECAY, INITIAL };

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    const ComplexTransition transition = {.cartesian = c->integer[1], .gradient_factor = 1};
    out[0] = complex_scan(tape, in[Q], in[K], in[V], in[DECAY], transition, c->input[INITIAL].cols ? in[INITIAL] : NULL,
                          c->integer[0] ? &out[1] : NULL);
}

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static double complex decay_of(double first, double second, bool cartesian) {
    if (!cartesian) return sigmoid(first) * cexp(I * second);
    const double complex c = first + I * second;
    return sigmoid(cabs(c)) * c / cabs(c);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[Q].cols, T = batch->T;
    for (int64_t i = 0; i < batch->B * cols; i++) {
        const int64_t b = i / cols, column = i % cols, state = b * 2 * cols + column;
        double complex S = c->input[INITIAL].cols ? in[INITIAL][state] + I * in[INITIAL][state + cols] : 0;
        for (int64_t row = b * T; row < (b + 1) * T; row++) {
            const int64_t at = row * cols + column;
            if (row > b * T && batch->segment[row] != batch->segment[row - 1]) S = 0;
            S = decay_of(in[DECAY][2 * at], in[DECAY][2 * at + 1], c->integer[1]) * S + in[K][at] * in[V][at];
            out[0][at] = in[Q][at] * creal(S);
        }
        if (!c->integer[0]) continue;
        out[1][state] = creal(S);
        out[1][state + cols] = cimag(S);
    }
}

#define INPUTS(columns, lowest, highest)                                                                               \
    {.name = "q", .cols = columns}, {.name = "k", .cols = columns}, {.name = "v", .cols = columns}, {                  \
        .name = "a", .cols = 2 * (columns), .low = lowest, .high = highest                                             \
    }
#define INITIAL_OF(sequences, columns)                                                                                 \
    { .name = "initial", .rows = sequences, .cols = 2 * (columns), .fp32 = true }

const OpTest complex_scan_test = {
    .name = "complex_scan",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "polar", .B = 2, .input = {INPUTS(24, -3, 3)}},
            {.name = "cartesian", .B = 2, .integer = {0, 1}, .input = {INPUTS(24, -3, 3)}},
            {.name = "packed", .B = 3, .packed = true, .input = {INPUTS(17, -3, 3)}},
            {.name = "cartesian packed", .B = 3, .packed = true, .integer = {0, 1}, .input = {INPUTS(17, -3, 3)}},
            {.name = "states", .B = 2, .integer = {1}, .input = {INPUTS(19, -3, 3), INITIAL_OF(2, 19)}},
            {.name = "packed states",
             .B = 2,
             .packed = true,
             .integer = {1, 1},
             .input = {INPUTS(9, -3, 3), INITIAL_OF(2, 9)}},
            {.name = "forget all", .B = 1, .T = 65, .integer = {1}, .input = {INPUTS(9, -60, -20), INITIAL_OF(1, 9)}},
            {.name = "keep all", .B = 1, .T = 200, .integer = {1}, .input = {INPUTS(9, 8, 14), INITIAL_OF(1, 9)}},
            {.name = "forget and keep, many turns",
             .B = 2,
             .T = 130,
             .packed = true,
             .integer = {1},
             .input = {INPUTS(33, -40, 40), INITIAL_OF(2, 33)}},
            {.name = "cartesian keep all",
             .B = 1,
             .T = 200,
             .integer = {1, 1},
             .input = {INPUTS(9, 5, 12), INITIAL_OF(1, 9)}},
            {.name = "cartesian near 0",
             .B = 1,
             .T = 70,
             .integer = {1, 1},
             .input = {INPUTS(9, 0.01, 0.02), INITIAL_OF(1, 9)}},
            {.name = "more than one block of columns",
             .B = 1,
             .T = 37,
             .integer = {1},
             .input = {INPUTS(300, -3, 3), INITIAL_OF(1, 300)}},
            {.name = "parts",
             .B = 1,
             .T = 521,
             .packed = true,
             .integer = {1},
             .input = {INPUTS(3, 1, 6), INITIAL_OF(1, 3)}},
            {.name = "a state through all parts",
             .B = 1,
             .T = 521,
             .integer = {1, 1},
             .input = {INPUTS(3, 4, 6), INITIAL_OF(1, 3)}},
        },
};
