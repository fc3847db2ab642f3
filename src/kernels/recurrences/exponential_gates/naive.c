/* exponential_gates treats m as a constant in its gradient, which is therefore right only for functions that do not
 * depend on m. So the test runs the whole mLSTM cell, which is such a function, and the definition is its recurrence in
 * fp64 without stabilisation. The second output gives the input's bias a gradient where the cell does not depend on
 * it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* A case's integers: K and V of the heads, and whether each token's least divisor is an output too. real: cap. */
enum { KEY_SIZE, VALUE_SIZE };
enum { INPUT, INPUT_BIAS, FORGET, FORGET_BIAS, Q, KEY, VALUE };

static Tensor *gates_of(Tape *tape, Tensor *const in[], const OpCase *c, ChunkSimpleGlaGates *gates) {
    Tensor *m;
    gates->log_decay = exponential_gates(tape, in[INPUT], in[INPUT_BIAS], in[FORGET], in[FORGET_BIAS],
                                         (float)c->real[0], &gates->log_scale, &m);
    return m;
}

/* Each of the two sums gets gates of its own, because the emulator does not add gradients in fp32. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    ChunkSimpleGlaGates of_output = {0}, of_sum = {0};
    const ChunkSimpleGlaShape shape = {.heads = in[INPUT]->cols,
                                       .key_size = c->integer[KEY_SIZE],
                                       .value_size = c->integer[VALUE_SIZE],
                                       .scale = 0.5f};
    gates_of(tape, in, c, &of_output);
    Tensor *o = chunk_simple_gla(tape, in[Q], in[KEY], in[VALUE], of_output, shape, NULL, NULL);
    Tensor *m = gates_of(tape, in, c, &of_sum);
    Tensor *z = chunk_normaliser(tape, in[Q], in[KEY], of_sum.log_decay, of_sum.log_scale, shape.heads, shape.scale,
                                 NULL, NULL);
    out[0] = normalise(tape, o, z, m, 0);
    out[1] = bias(tape, in[INPUT], in[INPUT_BIAS]);
}

static double capped(double x, double cap) { return cap > 0 ? cap * tanh(x / cap) : x; }

/* One token of a head, whose state holds C [K, V] and n [K] in one matrix [K, V + 1]. */
static void step(const OpCase *c, double *state, double decay, double scale, const double *q, const double *k,
                 const double *v, double *h) {
    const int64_t K = c->integer[KEY_SIZE], V = c->integer[VALUE_SIZE];
    double sum[V + 1];
    memset(sum, 0, sizeof sum);
    for (int64_t d = 0; d < K; d++)
        for (int64_t j = 0; j <= V; j++) {
            double *entry = state + d * (V + 1) + j;
            *entry = decay * *entry + scale * k[d] * (j < V ? v[j] : 1);
            sum[j] += 0.5 * q[d] * *entry;
        }
    for (int64_t j = 0; j < V; j++) h[j] = sum[j] / fmax(fabs(sum[V]), 1);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t heads = c->input[INPUT].cols, K = c->integer[KEY_SIZE], V = c->integer[VALUE_SIZE], T = batch->T;
    const size_t size = (size_t)(K * (V + 1)) * sizeof(double);
    double *state = malloc(size);
    for (int64_t b = 0; b < batch->B; b++)
        for (int64_t n = 0; n < heads; n++)
            for (int64_t row = b * T; row < (b + 1) * T; row++) {
                const int64_t at = row * heads + n;
                if (row == b * T || batch->segment[row] != batch->segment[row - 1]) memset(state, 0, size);
                const double i = capped(in[INPUT][at] + in[INPUT_BIAS][n], c->real[0]);
                const double f = capped(in[FORGET][at] + in[FORGET_BIAS][n], c->real[0]);
                step(c, state, 1 / (1 + exp(-f)), exp(i), in[Q] + at * K, in[KEY] + at * K, in[VALUE] + at * V,
                     out[0] + at * V);
                out[1][at] = in[INPUT][at] + in[INPUT_BIAS][n];
            }
    free(state);
}

/* Where inputs are large, keys and queries are positive, because sums of large numbers of both signs would leave no
 * digits. Gradients in bf16 pass through four ops, each of which rounds. */
#define CASE(case_name, sequences, tokens, documents, heads, K, V, cap, low_input, high_input, low_forget,             \
             high_forget, low_key)                                                                                     \
    {                                                                                                                  \
        .name = case_name, .B = sequences, .T = tokens, .packed = documents, .integer = {K, V}, .real = {cap},         \
        .gradient_bf16 = 0.03, .input = {                                                                              \
            {.name = "input", .cols = heads, .contiguous = true, .low = low_input, .high = high_input},                \
            {.name = "input bias", .rows = 1, .cols = heads, .parameter = true},                                       \
            {.name = "forget", .cols = heads, .contiguous = true, .low = low_forget, .high = high_forget},             \
            {.name = "forget bias", .rows = 1, .cols = heads, .parameter = true},                                      \
            {.name = "q", .cols = (heads) * (K), .low = low_key, .high = 1},                                           \
            {.name = "k", .cols = (heads) * (K), .low = low_key, .high = 1},                                           \
            {.name = "v", .cols = (heads) * (V)},                                                                      \
        }                                                                                                              \
    }

const OpTest exponential_gates_test = {
    .name = "exponential_gates",
    .build = build,
    .naive = naive,
    .cases = {
        CASE("plain", 2, 0, false, 2, 16, 16, 0, -2, 2, 0, 5, -1),
        CASE("packed", 2, 0, true, 2, 16, 16, 0, -2, 2, 0, 5, -1),
        CASE("capped", 2, 130, true, 3, 16, 32, 15, -12, 9, -4, 9, 0.1),
        CASE("little enters", 1, 200, false, 2, 16, 16, 15, -11, -9, 3, 6, -1),
        CASE("much enters", 1, 130, true, 2, 16, 16, 0, 80, 84, -3, 3, 0.1),
        CASE("more heads than a program has", 1, 65, true, 35, 4, 4, 15, -3, 1, 0, 5, -1),
        CASE("more chunks than the carry holds", 1, 2200, true, 1, 4, 4, 0, -3, 0, -2, 2, 0.1),
    }};
