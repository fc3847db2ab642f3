/* chunk_gla and chunk_gla_values: the recurrences themselves, one token after another, in fp64. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* A case's integers: heads, kv_heads, and 1 if the final state is wanted. Its real: the scale of q, 0 for the default.
 * A fifth input, if there is one, is the initial state. */
enum { HEADS, KV_HEADS, FINAL };

static ChunkGlaShape shape_of(const OpCase *c) {
    return (ChunkGlaShape){c->integer[HEADS], c->integer[KV_HEADS], (float)c->real[0]};
}

static double scale_of(const OpCase *c, int64_t K) { return c->real[0] != 0 ? c->real[0] : 1 / sqrt((double)K); }

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    const ChunkGlaShape shape = shape_of(c);
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

/* o = scale q S */
static void read_out(double *o, const double *S, int64_t K, int64_t V, const double *q, double scale) {
    for (int64_t j = 0; j < V; j++) o[j] = 0;
    for (int64_t d = 0; d < K; d++)
        for (int64_t j = 0; j < V; j++) o[j] += scale * q[d] * S[d * V + j];
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
                read_out(out[0] + n * V, S, K, V, in[0] + n * K, scale_of(c, K));
        }
        if (c->integer[FINAL]) memcpy(out[1] + sequence * K * V, S, (size_t)(K * V) * sizeof *S);
    }
    free(S);
}

/* The inputs of a case with head sizes K and V, and gates uniform in [low_gate, 0). */
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

#define CASE_SCALE(case_name, sequences, tokens, documents, heads, kv_heads, K, V, low_gate, factor)                   \
    {                                                                                                                  \
        .name = case_name, .B = sequences, .T = tokens, .packed = documents, .integer = {heads, kv_heads, 0},          \
        .real = {factor}, .input = {                                                                                   \
            HEAD_INPUTS(heads, kv_heads, K, V, low_gate)                                                               \
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
                                   CASE("gates_to_minus_3", 1, 130, false, 1, 1, 32, 32, -2.9),
                                   CASE("no_decay", 1, 200, false, 1, 1, 32, 32, -2e-4),
                                   CASE_STATES("grouped", 1, 130, false, 6, 2, 32, 48, -1),
                                   CASE_STATES("odd_sizes", 1, 65, true, 1, 1, 48, 80, -1),
                                   CASE("K_64_V_128", 1, 130, true, 2, 1, 64, 128, -0.3),
                                   CASE_STATES("K_128_V_256", 1, 66, true, 1, 1, 128, 256, -0.3),
                                   CASE("K_256_V_512", 1, 65, false, 1, 1, 256, 512, -0.3),
                                   CASE_SCALE("scale", 1, 80, true, 2, 1, 32, 16, -0.3, 0.75),
                               }};

static void build_values(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    Tensor *initial = c->input[4].cols ? in[4] : NULL;
    out[0] =
        chunk_gla_values(tape, in[0], in[1], in[2], in[3], shape_of(c), initial, c->integer[FINAL] ? &out[1] : NULL);
}

/* R = diag(e^g) R + s k^T, o = scale R q. */
static void naive_values(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t heads = c->integer[HEADS], kv_heads = c->integer[KV_HEADS], group = heads / kv_heads, T = batch->T;
    const int64_t K = c->input[1].cols / kv_heads, M = c->input[2].cols / kv_heads;
    double *R = malloc((size_t)(M * K) * sizeof *R);
    for (int64_t sequence = 0; sequence < batch->B * kv_heads; sequence++) {
        const int64_t b = sequence / kv_heads, h = sequence % kv_heads;
        memset(R, 0, (size_t)(M * K) * sizeof *R);
        if (c->input[4].cols) memcpy(R, in[4] + sequence * M * K, (size_t)(M * K) * sizeof *R);
        for (int64_t row = b * T; row < (b + 1) * T; row++) {
            if (row > b * T && batch->segment[row] != batch->segment[row - 1])
                memset(R, 0, (size_t)(M * K) * sizeof *R);
            const int64_t at = row * kv_heads + h;
            update(R, M, K, in[3] + at * M, in[2] + at * M, in[1] + at * K);
            for (int64_t n = row * heads + h * group; n < row * heads + (h + 1) * group; n++)
                for (int64_t m = 0; m < M; m++) {
                    double sum = 0;
                    for (int64_t d = 0; d < K; d++) sum += R[m * K + d] * in[0][n * K + d];
                    out[0][n * M + m] = scale_of(c, K) * sum;
                }
        }
        if (c->integer[FINAL]) memcpy(out[1] + sequence * M * K, R, (size_t)(M * K) * sizeof *R);
    }
    free(R);
}

/* Inputs with heads of K columns, M slots, and gates uniform in [low_gate, 0). */
#define SLOT_INPUTS(heads, kv_heads, K, M, low_gate)                                                                   \
    {.name = "q", .cols = (heads) * (K)}, {.name = "k", .cols = (kv_heads) * (K)},                                     \
        {.name = "s", .cols = (kv_heads) * (M)}, {                                                                     \
        .name = "g", .cols = (kv_heads) * (M), .fp32 = true, .low = (low_gate), .high = -1e-4                          \
    }
#define SLOTS(case_name, sequences, tokens, documents, heads, kv_heads, K, M, low_gate, factor)                        \
    {                                                                                                                  \
        .name = case_name, .B = sequences, .T = tokens, .packed = documents, .integer = {heads, kv_heads, 0},          \
        .real = {factor}, .input = {                                                                                   \
            SLOT_INPUTS(heads, kv_heads, K, M, low_gate)                                                               \
        }                                                                                                              \
    }
#define SLOTS_STATES(case_name, sequences, tokens, documents, heads, kv_heads, K, M, low_gate)                         \
    {                                                                                                                  \
        .name = case_name, .B = sequences, .T = tokens, .packed = documents, .integer = {heads, kv_heads, 1},          \
        .input = {                                                                                                     \
            SLOT_INPUTS(heads, kv_heads, K, M, low_gate),                                                              \
            {.name = "initial", .rows = (sequences) * (kv_heads) * (M), .cols = K, .fp32 = true}                       \
        }                                                                                                              \
    }

const OpTest chunk_gla_values_test = {.name = "chunk_gla_values",
                                      .build = build_values,
                                      .naive = naive_values,
                                      .cases = {
                                          SLOTS("plain", 2, 0, false, 2, 2, 64, 32, -0.3, 0),
                                          SLOTS("packed", 2, 0, true, 2, 2, 32, 32, -0.3, 1),
                                          SLOTS_STATES("states", 2, 0, false, 1, 1, 32, 16, -0.1),
                                          SLOTS_STATES("packed_states_grouped", 2, 0, true, 4, 2, 16, 16, -0.1),
                                          SLOTS("gates_to_minus_50", 1, 0, false, 1, 1, 32, 32, -50, 1),
                                          SLOTS("gates_to_minus_5_packed", 1, 130, true, 1, 1, 64, 64, -5, 0),
                                          SLOTS("gates_to_minus_3", 1, 130, false, 1, 1, 32, 32, -2.9, 1),
                                          SLOTS("no_decay", 1, 200, false, 1, 1, 32, 32, -2e-4, 0),
                                          SLOTS_STATES("grouped", 1, 130, false, 6, 2, 48, 32, -1),
                                          SLOTS_STATES("odd_sizes", 1, 65, true, 1, 1, 80, 48, -1),
                                          SLOTS("K_256_M_64", 1, 130, true, 2, 1, 256, 64, -0.3, 1),
                                          SLOTS_STATES("K_128_M_128", 1, 66, true, 1, 1, 128, 128, -0.3),
                                          SLOTS("K_512_M_64", 1, 65, false, 1, 1, 512, 64, -0.3, 0),
                                      }};
