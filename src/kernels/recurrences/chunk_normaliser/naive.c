/* chunk_normaliser: the recurrence itself, one token after another, in fp64. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* A case's integers: heads, K, whether there are gates, and whether the initial state is the last input and the final
 * state is wanted. Inputs: q, k, then log_decay and log_scale, then the state. */
enum { HEADS, KEY_SIZE, GATES, STATES };

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    const bool gates = c->integer[GATES] != 0;
    Tensor *initial = c->integer[STATES] ? in[gates ? 4 : 2] : NULL;
    out[0] = chunk_normaliser(tape, in[0], in[1], gates ? in[2] : NULL, gates ? in[3] : NULL, c->integer[HEADS],
                              (float)c->real[0], initial, initial ? &out[1] : NULL);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t heads = c->integer[HEADS], K = c->integer[KEY_SIZE], T = batch->T;
    const bool gates = c->integer[GATES] != 0, states = c->integer[STATES] != 0;
    const double *const initial = states ? in[gates ? 4 : 2] : NULL;
    double *n = malloc((size_t)K * sizeof *n);
    for (int64_t state = 0; state < batch->B * heads; state++) {
        const int64_t b = state / heads, head = state % heads;
        for (int64_t d = 0; d < K; d++) n[d] = states ? initial[state * K + d] : 0;
        for (int64_t row = b * T; row < (b + 1) * T; row++) {
            const int64_t at = row * heads + head;
            if (row > b * T && batch->segment[row] != batch->segment[row - 1]) memset(n, 0, (size_t)K * sizeof *n);
            out[0][at] = 0;
            for (int64_t d = 0; d < K; d++) {
                n[d] = (gates ? exp(in[2][at]) : 1) * n[d] + (gates ? exp(in[3][at]) : 1) * in[1][at * K + d];
                out[0][at] += (double)(float)c->real[0] * in[0][at * K + d] * n[d];
            }
        }
        if (states) memcpy(out[1] + state * K, n, (size_t)K * sizeof *n);
    }
    free(n);
}

#define QK(heads, K)                                                                                                   \
    {.name = "q", .cols = (heads) * (K)}, { .name = "k", .cols = (heads) * (K) }
#define GATE_PAIR(heads, low_gate, high_gate)                                                                          \
    {.name = "g", .cols = heads, .fp32 = true, .low = low_gate, .high = high_gate}, {                                  \
        .name = "s", .cols = heads, .fp32 = true, .low = -2, .high = 1                                                 \
    }
#define INITIAL(sequences, heads, K)                                                                                   \
    { .name = "initial", .rows = (sequences) * (heads), .cols = K, .fp32 = true }
#define CASE_PLAIN(case_name, sequences, tokens, documents, heads, key)                                                \
    {                                                                                                                  \
        .name = case_name, .B = sequences, .T = tokens, .packed = documents, .integer = {heads, key, 0, 0},            \
        .real = {0.25}, .input = {                                                                                     \
            QK(heads, key),                                                                                            \
        }                                                                                                              \
    }
#define CASE_PLAIN_STATES(case_name, sequences, tokens, documents, heads, key)                                         \
    {                                                                                                                  \
        .name = case_name, .B = sequences, .T = tokens, .packed = documents, .integer = {heads, key, 0, 1},            \
        .real = {0.25}, .input = {                                                                                     \
            QK(heads, key),                                                                                            \
            INITIAL(sequences, heads, key),                                                                            \
        }                                                                                                              \
    }
#define CASE(case_name, sequences, tokens, documents, heads, key, low, high)                                           \
    {                                                                                                                  \
        .name = case_name, .B = sequences, .T = tokens, .packed = documents, .integer = {heads, key, 1, 0},            \
        .real = {0.25}, .input = {                                                                                     \
            QK(heads, key),                                                                                            \
            GATE_PAIR(heads, low, high),                                                                               \
        }                                                                                                              \
    }
#define CASE_STATES(case_name, sequences, tokens, documents, heads, key, low, high)                                    \
    {                                                                                                                  \
        .name = case_name, .B = sequences, .T = tokens, .packed = documents, .integer = {heads, key, 1, 1},            \
        .real = {0.25}, .input = {                                                                                     \
            QK(heads, key),                                                                                            \
            GATE_PAIR(heads, low, high),                                                                               \
            INITIAL(sequences, heads, key),                                                                            \
        }                                                                                                              \
    }

const OpTest chunk_normaliser_test = {.name = "chunk_normaliser",
                                      .build = build,
                                      .naive = naive,
                                      .cases = {
                                          CASE_PLAIN("plain", 2, 0, false, 2, 16),
                                          CASE_PLAIN("packed", 2, 0, true, 2, 16),
                                          CASE_PLAIN_STATES("states", 2, 130, true, 2, 16),
                                          CASE("gates", 2, 0, false, 3, 16, -0.3, 0),
                                          CASE("packed gates", 2, 0, true, 3, 16, -0.3, 0),
                                          CASE_STATES("gates and states", 2, 0, false, 2, 16, -0.1, 0),
                                          CASE_STATES("packed gates and states", 2, 0, true, 2, 16, -0.1, 0),
                                          CASE("forget all", 1, 130, false, 1, 16, -100, -50),
                                          CASE("forget and keep", 1, 200, true, 2, 16, -60, 0),
                                          CASE_STATES("keep all", 1, 200, false, 1, 16, -1e-6, 0),
                                          CASE("K of 160", 1, 130, true, 2, 160, -0.3, 0),
                                          CASE("K of 33", 1, 70, false, 3, 33, -0.3, 0),
                                          CASE_STATES("K of 528", 1, 66, false, 1, 528, -0.3, 0),
                                          CASE_STATES("more chunks than the carry holds", 1, 2200, true, 1, 8, -0.3, 0),
                                      }};
