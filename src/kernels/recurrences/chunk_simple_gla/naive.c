/* chunk_simple_gla: the recurrence itself, one token after another, in fp64. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* A case's integers: heads, K, V, whether there are gates, whether the initial state is the last input and the final
 * state is wanted, whether the decays are constant, and whether there are scales and skips. Inputs: q, k, v, then
 * gates, scales and skips, and the state. */
enum { HEADS, KEY_SIZE, VALUE_SIZE, GATES, STATES, CONSTANT, SCALED };

/* The numbers of the inputs. */
static int64_t scales_at(const OpCase *c) { return 3 + c->integer[GATES]; }
static int64_t initial_at(const OpCase *c) { return scales_at(c) + 2 * c->integer[SCALED]; }

static const float constant_decays[] = {-0.031748699f, -0.015748357f, -0.5f, -1e-3f, 0.0f, -3.0f};

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    const ChunkSimpleGlaShape shape = {.heads = c->integer[HEADS],
                                       .key_size = c->integer[KEY_SIZE],
                                       .value_size = c->integer[VALUE_SIZE],
                                       .scale = (float)c->real[0],
                                       .log_decay = c->integer[CONSTANT] ? constant_decays : NULL};
    const ChunkSimpleGlaGates gates = {.log_decay = c->integer[GATES] ? in[3] : NULL,
                                       .log_scale = c->integer[SCALED] ? in[scales_at(c)] : NULL,
                                       .skip = c->integer[SCALED] ? in[scales_at(c) + 1] : NULL};
    Tensor *initial = c->integer[STATES] ? in[initial_at(c)] : NULL;
    out[0] = chunk_simple_gla(tape, in[0], in[1], in[2], gates, shape, initial, initial ? &out[1] : NULL);
}

/* The gates of a token and head. */
typedef struct Gates {
    double decay, scale, skip;
} Gates;

/* S = decay S + scale k v^T, o = (the op's scale) q S + skip v */
static void step(double *S, double *o, const OpCase *c, Gates gates, const double *q, const double *k,
                 const double *v) {
    const int64_t K = c->integer[KEY_SIZE], V = c->integer[VALUE_SIZE];
    for (int64_t j = 0; j < V; j++) o[j] = gates.skip * v[j];
    for (int64_t d = 0; d < K; d++)
        for (int64_t j = 0; j < V; j++) {
            S[d * V + j] = gates.decay * S[d * V + j] + gates.scale * k[d] * v[j];
            o[j] += (double)(float)c->real[0] * q[d] * S[d * V + j];
        }
}

static Gates gates_of(const OpCase *c, double *const in[], int64_t row, int64_t head) {
    const int64_t at = row * c->integer[HEADS] + head;
    Gates gates = {1, 1, 0};
    if (c->integer[CONSTANT]) gates.decay = exp((double)constant_decays[head]);
    if (c->integer[GATES]) gates.decay = exp(in[3][at]);
    if (c->integer[SCALED]) gates.scale = exp(in[scales_at(c)][at]);
    if (c->integer[SCALED]) gates.skip = in[scales_at(c) + 1][head];
    return gates;
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t heads = c->integer[HEADS], K = c->integer[KEY_SIZE], V = c->integer[VALUE_SIZE], T = batch->T;
    const int64_t q_cols = c->input[0].cols, k_cols = c->input[1].cols, v_cols = c->input[2].cols;
    double *S = malloc((size_t)(K * V) * sizeof *S);
    for (int64_t state = 0; state < batch->B * heads; state++) {
        const int64_t b = state / heads, n = state % heads;
        const int64_t q_head = n * (q_cols / K) / heads, k_head = n * (k_cols / K) / heads;
        memset(S, 0, (size_t)(K * V) * sizeof *S);
        if (c->integer[STATES]) memcpy(S, in[initial_at(c)] + state * K * V, (size_t)(K * V) * sizeof *S);
        for (int64_t row = b * T; row < (b + 1) * T; row++) {
            if (row > b * T && batch->segment[row] != batch->segment[row - 1])
                memset(S, 0, (size_t)(K * V) * sizeof *S);
            step(S, out[0] + (row * heads + n) * V, c, gates_of(c, in, row, n), in[0] + row * q_cols + q_head * K,
                 in[1] + row * k_cols + k_head * K, in[2] + row * v_cols + n * (v_cols / V) / heads * V);
        }
        if (c->integer[STATES]) memcpy(out[1] + state * K * V, S, (size_t)(K * V) * sizeof *S);
    }
    free(S);
}

/* Inputs with different numbers of heads for q, k and v, and gates that are uniform in [low_gate, high_gate). */
#define QKV(q_heads, k_heads, v_heads, K, V)                                                                           \
    {.name = "q", .cols = (q_heads) * (K)}, {.name = "k", .cols = (k_heads) * (K)}, {                                  \
        .name = "v", .cols = (v_heads) * (V)                                                                           \
    }
#define GATE(heads, low_gate, high_gate)                                                                               \
    { .name = "g", .cols = heads, .fp32 = true, .low = low_gate, .high = high_gate }
#define INITIAL(sequences, heads, K, V)                                                                                \
    { .name = "initial", .rows = (sequences) * (heads) * (K), .cols = V, .fp32 = true }
#define CASE(case_name, sequences, tokens, documents, heads, q_heads, k_heads, v_heads, key, value, low, high)         \
    {                                                                                                                  \
        .name = case_name, .B = sequences, .T = tokens, .packed = documents, .integer = {heads, key, value, 1, 0, 0},  \
        .real = {0.25}, .input = {                                                                                     \
            QKV(q_heads, k_heads, v_heads, key, value),                                                                \
            GATE(heads, low, high)                                                                                     \
        }                                                                                                              \
    }
#define CASE_STATES(case_name, sequences, tokens, documents, heads, q_heads, k_heads, v_heads, key, value, low, high)  \
    {                                                                                                                  \
        .name = case_name, .B = sequences, .T = tokens, .packed = documents, .integer = {heads, key, value, 1, 1, 0},  \
        .real = {0.25}, .input = {                                                                                     \
            QKV(q_heads, k_heads, v_heads, key, value),                                                                \
            GATE(heads, low, high),                                                                                    \
            INITIAL(sequences, heads, key, value)                                                                      \
        }                                                                                                              \
    }
#define CASE_NO_GATES(case_name, sequences, tokens, documents, heads, key, value, constant)                            \
    {                                                                                                                  \
        .name = case_name, .B = sequences, .T = tokens, .packed = documents,                                           \
        .integer = {heads, key, value, 0, 1, constant}, .real = {0.25}, .input = {                                     \
            QKV(heads, heads, heads, key, value),                                                                      \
            INITIAL(sequences, heads, key, value)                                                                      \
        }                                                                                                              \
    }
#define CASE_SCALED(case_name, sequences, tokens, documents, heads, q_heads, k_heads, key, value, low_scale)           \
    {                                                                                                                  \
        .name = case_name, .B = sequences, .T = tokens, .packed = documents,                                           \
        .integer = {heads, key, value, 1, 0, 0, 1}, .real = {0.25}, .input = {                                         \
            QKV(q_heads, k_heads, heads, key, value),                                                                  \
            GATE(heads, -0.3, 0),                                                                                      \
            {.name = "s", .cols = heads, .fp32 = true, .low = low_scale, .high = 1},                                   \
            {.name = "D", .rows = 1, .cols = heads, .parameter = true},                                                \
        }                                                                                                              \
    }

const OpTest chunk_simple_gla_test = {.name = "chunk_simple_gla",
                                      .build = build,
                                      .naive = naive,
                                      .cases = {
                                          CASE("plain", 2, 0, false, 2, 2, 2, 2, 32, 32, -0.3, 0),
                                          CASE("packed", 2, 0, true, 2, 2, 2, 2, 16, 32, -0.3, 0),
                                          CASE_STATES("states", 2, 0, false, 1, 1, 1, 1, 16, 32, -0.1, 0),
                                          CASE_STATES("packed_states", 2, 0, true, 2, 2, 2, 2, 16, 16, -0.1, 0),
                                          CASE_NO_GATES("no_decay", 2, 0, false, 2, 16, 16, 0),
                                          CASE_NO_GATES("constant_decays", 1, 0, true, 6, 16, 16, 1),
                                          CASE("forget_all", 1, 130, false, 1, 1, 1, 1, 32, 32, -100, -50),
                                          CASE_STATES("keep_all", 1, 200, false, 1, 1, 1, 1, 32, 32, -1e-6, 0),
                                          CASE("forget_and_keep", 1, 200, true, 2, 2, 2, 2, 32, 32, -60, 0),
                                          CASE_STATES("shared_q_k", 1, 130, false, 6, 2, 2, 6, 16, 32, -1, 0),
                                          CASE("shared_q_k_packed", 1, 130, true, 3, 1, 1, 3, 80, 32, -1, 0),
                                          CASE_STATES("shared_k_v", 1, 130, true, 6, 6, 2, 2, 32, 16, -1, 0),
                                          CASE("shared_k", 1, 65, false, 4, 2, 1, 2, 32, 16, -1, 0),
                                          CASE_STATES("odd_sizes", 1, 65, true, 1, 1, 1, 1, 48, 80, -1, 0),
                                          CASE_SCALED("scaled", 2, 0, true, 3, 1, 1, 16, 32, -3),
                                          CASE_SCALED("scaled_shared", 1, 130, false, 34, 2, 1, 80, 16, -9),
                                          CASE("K_128_V_256", 1, 66, true, 1, 1, 1, 1, 128, 256, -0.3, 0),
                                          CASE("K_256_V_512", 1, 65, false, 1, 1, 1, 1, 256, 512, -0.3, 0),
                                      }};
