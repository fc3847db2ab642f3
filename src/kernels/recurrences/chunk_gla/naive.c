/* chunk_gla: the recurrence itself, one token after another, in fp64. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* A case's integers: heads, kv_heads, 1 if the final state is wanted. A fifth input is the initial state. */
enum { HEADS, KV_HEADS, FINAL };

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    const ChunkGlaShape shape = {c->integer[HEADS], c->integer[KV_HEADS]};
    Tensor *initial = c->input[4].cols ? in[4] : NULL;
    out[0] = chunk_gla(tape, in[0], in[1], in[2], in[3], shape, initial, c->integer[FINAL] ? &out[1] : NULL);
}

/* S = diag(e^g) S + k v^T */
static void update(double *S, int64_t K, int64_t V, const double *g, const double *k, const double *v) {
    for (int64_t d = 0; d < K; d++) {
        const double decay = exp(g[d]);
        for (int64_t j = 0; j < V; j++) S[d * V + j] = decay * S[d * V + j] + k[d] * v[j];
    }
}

/* o = K^(-1/2) q S */
static void read_out(double *o, const double *S, int64_t K, int64_t V, const double *q) {
    for (int64_t j = 0; j < V; j++) o[j] = 0;
    for (int64_t d = 0; d < K; d++)
        for (int64_t j = 0; j < V; j++) o[j] += q[d] / sqrt((double)K) * S[d * V + j];
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t heads = c->integer[HEADS], kv_heads = c->integer[KV_HEADS], group = heads / kv_heads, T = batch->T;
    const int64_t K = c->input[1].cols / kv_heads, V = c->input[2].cols / kv_heads;
    double *S = malloc((size_t)(K * V) * sizeof *S);
    for (int64_t sequence = 0; sequence < batch->B * kv_heads; sequence++) {
        const int64_t b = sequence / kv_heads, h = sequence % kv_heads;
        memset(S, 0, (size_t)(K * V) * sizeof *S);
        if (c->input[4].cols) memcpy(S, in[4] + sequence * K * V, (size_t)(K * V) * sizeof *S);
        for (int64_t row = b * T; row < (b + 1) * T; row++) {
            if (row > b * T && batch->segment[row] != batch->segment[row - 1])
                memset(S, 0, (size_t)(K * V) * sizeof *S);
            const int64_t at = row * kv_heads + h;
            update(S, K, V, in[3] + at * K, in[1] + at * K, in[2] + at * V);
            for (int64_t n = row * heads + h * group; n < row * heads + (h + 1) * group; n++)
                read_out(out[0] + n * V, S, K, V, in[0] + n * K);
        }
        if (c->integer[FINAL]) memcpy(out[1] + sequence * K * V, S, (size_t)(K * V) * sizeof *S);
    }
    free(S);
}

/* The inputs of a case with head sizes K and V, gates uniform in [low, 0). */
#define HEAD_INPUTS(heads, kv_heads, K, V, low_gate)                                                                   \
    {.name = "q", .cols = (heads) * (K)}, {.name = "k", .cols = (kv_heads) * (K)},                                     \
        {.name = "v", .cols = (kv_heads) * (V)}, {                                                                     \
        .name = "g", .cols = (kv_heads) * (K), .fp32 = true, .low = (low_gate), .high = -1e-4                          \
    }
#define CASE(case_name, sequences, tokens, documents, heads, kv_heads, K, V, low_gate)                                 \
    {                                                                                                                  \
        .name = case_name, .B = sequences, .T = tokens, .packed = documents, .integer = {heads, kv_heads, 0},          \
        .input = {                                                                                                     \
            HEAD_INPUTS(heads, kv_heads, K, V, low_gate)                                                               \
        }                                                                                                              \
    }
#define CASE_STATES(case_name, sequences, tokens, documents, heads, kv_heads, K, V, low_gate)                          \
    {                                                                                                                  \
        .name = case_name, .B = sequences, .T = tokens, .packed = documents, .integer = {heads, kv_heads, 1},          \
        .input = {                                                                                                     \
            HEAD_INPUTS(heads, kv_heads, K, V, low_gate),                                                              \
            {.name = "initial", .rows = (sequences) * (kv_heads) * (K), .cols = V, .fp32 = true}                       \
        }                                                                                                              \
    }

const OpTest chunk_gla_test = {.name = "chunk_gla",
                               .build = build,
                               .naive = naive,
                               .cases = {
                                   CASE("plain", 2, 0, false, 2, 2, 32, 64, -0.3),
                                   CASE("packed", 2, 0, true, 2, 2, 32, 32, -0.3),
                                   CASE_STATES("states", 2, 0, false, 1, 1, 16, 32, -0.1),
                                   CASE_STATES("packed_states_grouped", 2, 0, true, 4, 2, 16, 16, -0.1),
                                   CASE("gates_to_minus_50", 1, 0, false, 1, 1, 32, 32, -50),
                                   CASE("gates_to_minus_5_packed", 1, 130, true, 1, 1, 64, 64, -5),
                                   CASE("no_decay", 1, 200, false, 1, 1, 32, 32, -2e-4),
                                   CASE_STATES("grouped", 1, 130, false, 6, 2, 32, 48, -1),
                                   CASE_STATES("odd_sizes", 1, 65, true, 1, 1, 48, 80, -1),
                                   CASE("K_64_V_128", 1, 130, true, 2, 1, 64, 128, -0.3),
                                   CASE_STATES("K_128_V_256", 1, 66, true, 1, 1, 128, 256, -0.3),
                                   CASE("K_256_V_512", 1, 65, false, 1, 1, 256, 512, -0.3),
                               }};
