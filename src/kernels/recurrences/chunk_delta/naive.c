/* chunk_delta: the recurrence itself, one update after another, in fp64. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* A case's integers. Inputs are q, k, v, and then those of beta, g and the initial state that the case has. */
enum { HEADS, V_HEADS, STEPS, FINAL, HAS_BETA, HAS_GATE, UNDECAYED };
enum { QUERY, KEY, VALUE, OPTIONAL };

static int64_t gate_input(const OpCase *c) { return OPTIONAL + c->integer[HAS_BETA]; }
static int64_t initial_input(const OpCase *c) { return gate_input(c) + c->integer[HAS_GATE]; }

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    const ChunkDeltaShape shape = {c->integer[HEADS], c->integer[V_HEADS], c->integer[STEPS], c->integer[UNDECAYED]};
    Tensor *beta = c->integer[HAS_BETA] ? in[OPTIONAL] : NULL;
    Tensor *g = c->integer[HAS_GATE] ? in[gate_input(c)] : NULL;
    Tensor *initial = c->input[initial_input(c)].cols ? in[initial_input(c)] : NULL;
    out[0] =
        chunk_delta(tape, in[QUERY], in[KEY], in[VALUE], beta, g, shape, initial, c->integer[FINAL] ? &out[1] : NULL);
}

/* S = stays S + beta k (v - erases k S)^T */
static void update(double *S, int64_t K, int64_t V, double stays, double erases, double beta, const double *k,
                   const double *v) {
    double *u = malloc((size_t)V * sizeof *u);
    memcpy(u, v, (size_t)V * sizeof *u);
    for (int64_t d = 0; d < K; d++)
        for (int64_t j = 0; j < V; j++) u[j] -= erases * k[d] * S[d * V + j];
    for (int64_t i = 0; i < K * V; i++) S[i] *= stays;
    for (int64_t d = 0; d < K; d++)
        for (int64_t j = 0; j < V; j++) S[d * V + j] += beta * k[d] * u[j];
    free(u);
}

/* o = K^(-1/2) q S */
static void read_out(double *o, const double *S, int64_t K, int64_t V, const double *q) {
    for (int64_t j = 0; j < V; j++) o[j] = 0;
    for (int64_t d = 0; d < K; d++)
        for (int64_t j = 0; j < V; j++) o[j] += q[d] / sqrt((double)K) * S[d * V + j];
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t heads = c->integer[HEADS], v_heads = c->integer[V_HEADS], steps = c->integer[STEPS], T = batch->T;
    const int64_t K = c->input[KEY].cols / (steps * heads), V = c->input[VALUE].cols / (steps * v_heads);
    const double *g = c->integer[HAS_GATE] ? in[gate_input(c)] : NULL;
    const double *initial = c->input[initial_input(c)].cols ? in[initial_input(c)] : NULL;
    const double *beta = c->integer[HAS_BETA] ? in[OPTIONAL] : NULL;
    double *S = malloc((size_t)(K * V) * sizeof *S);
    for (int64_t sequence = 0; sequence < batch->B * v_heads; sequence++) {
        const int64_t b = sequence / v_heads, h = sequence % v_heads, k_head = h * heads / v_heads;
        memset(S, 0, (size_t)(K * V) * sizeof *S);
        if (initial) memcpy(S, initial + sequence * K * V, (size_t)(K * V) * sizeof *S);
        for (int64_t token = b * T; token < (b + 1) * T; token++) {
            if (token > b * T && batch->segment[token] != batch->segment[token - 1])
                memset(S, 0, (size_t)(K * V) * sizeof *S);
            for (int64_t row = token * steps; row < (token + 1) * steps; row++) {
                const double decay = g && row == token * steps ? exp(g[token * v_heads + h]) : 1;
                update(S, K, V, decay, c->integer[UNDECAYED] ? 1 : decay, beta ? beta[row * v_heads + h] : 1,
                       in[KEY] + (row * heads + k_head) * K, in[VALUE] + (row * v_heads + h) * V);
            }
            read_out(out[0] + (token * v_heads + h) * V, S, K, V, in[QUERY] + (token * heads + k_head) * K);
        }
        if (c->integer[FINAL]) memcpy(out[1] + sequence * K * V, S, (size_t)(K * V) * sizeof *S);
    }
    free(S);
}

/* Inputs with keys of a length of about 1: they are uniform within `bound` = sqrt(3 / K). beta is uniform in (0,
 * most). */
#define HEAD_INPUTS(heads, v_heads, steps, K, V, bound)                                                                \
    {.name = "q", .cols = (heads) * (K)},                                                                              \
        {.name = "k", .cols = (steps) * (heads) * (K), .contiguous = (steps) > 1, .low = -(bound), .high = (bound)}, { \
        .name = "v", .cols = (steps) * (v_heads) * (V), .contiguous = (steps) > 1                                      \
    }
#define BETA(v_heads, steps, most)                                                                                     \
    { .name = "beta", .cols = (steps) * (v_heads), .fp32 = true, .contiguous = (steps) > 1, .low = 1e-3, .high = most }
#define GATE(v_heads, low_gate, high_gate)                                                                             \
    { .name = "g", .cols = v_heads, .fp32 = true, .low = low_gate, .high = high_gate }
#define STATE(sequences, v_heads, K, V)                                                                                \
    { .name = "initial", .rows = (sequences) * (v_heads) * (K), .cols = V, .fp32 = true }

const OpTest chunk_delta_test =
    {
        .name = "chunk_delta",
        .build = build,
        .naive = naive,
        .cases =
            {
                {.name = "no gate",
                 .B = 1,
                 .T = 65,
                 .integer = {2, 2, 1, false, true, false},
                 .input = {HEAD_INPUTS(2, 2, 1, 32, 64, 0.306), BETA(2, 1, 1)}},
                {.name = "gate",
                 .B = 1,
                 .T = 130,
                 .integer = {2, 2, 1, false, true, true},
                 .input = {HEAD_INPUTS(2, 2, 1, 32, 32, 0.306), BETA(2, 1, 1), GATE(2, -0.3, 0)}},
                {.name = "packed",
                 .B = 1,
                 .packed = true,
                 .integer = {2, 2, 1, false, true, true},
                 .input = {HEAD_INPUTS(2, 2, 1, 32, 32, 0.306), BETA(2, 1, 1), GATE(2, -0.3, 0)}},
                {.name = "states",
                 .B = 2,
                 .integer = {1, 1, 1, true, true, true},
                 .input = {HEAD_INPUTS(1, 1, 1, 16, 32, 0.433), BETA(1, 1, 1), GATE(1, -0.1, 0), STATE(2, 1, 16, 32)}},
                {.name = "packed, states, grouped, beta to 2",
                 .B = 1,
                 .packed = true,
                 .integer = {2, 4, 1, true, true, true},
                 .input = {HEAD_INPUTS(2, 4, 1, 16, 16, 0.433), BETA(4, 1, 2), GATE(4, -0.1, 0), STATE(1, 4, 16, 16)}},
                {.name = "two steps",
                 .B = 1,
                 .T = 66,
                 .integer = {2, 2, 2, true, true, true},
                 .input = {HEAD_INPUTS(2, 2, 2, 16, 32, 0.433), BETA(2, 2, 1), GATE(2, -0.3, 0), STATE(1, 2, 16, 32)}},
                {.name = "three steps, packed",
                 .B = 1,
                 .T = 70,
                 .packed = true,
                 .integer = {1, 2, 3, true, true, true},
                 .input = {HEAD_INPUTS(1, 2, 3, 32, 16, 0.306), BETA(2, 3, 1), GATE(2, -0.3, 0), STATE(1, 2, 32, 16)}},
                {.name = "three steps, grouped",
                 .B = 1,
                 .T = 70,
                 .integer = {1, 2, 3, false, true, true},
                 .input = {HEAD_INPUTS(1, 2, 3, 32, 16, 0.306), BETA(2, 3, 1), GATE(2, -0.3, 0)}},
                {.name = "neither beta nor gate",
                 .B = 1,
                 .T = 130,
                 .integer = {1, 1, 1, true, false, false},
                 .input = {HEAD_INPUTS(1, 1, 1, 32, 32, 0.25), STATE(1, 1, 32, 32)}},
                {.name = "gates to -50",
                 .B = 1,
                 .T = 200,
                 .integer = {1, 1, 1, false, true, true},
                 .input = {HEAD_INPUTS(1, 1, 1, 32, 32, 0.306), BETA(1, 1, 1), GATE(1, -50, 0)}},
                {.name = "forget all or keep all",
                 .B = 1,
                 .T = 200,
                 .integer = {1, 1, 1, true, true, true},
                 .input = {HEAD_INPUTS(1, 1, 1, 32, 32, 0.306),
                           BETA(1, 1, 1),
                           {.name = "g", .cols = 1, .fp32 = true, .low = -200, .high = 0, .either = true},
                           STATE(1, 1, 32, 32)}},
                {.name = "forget all",
                 .B = 1,
                 .T = 130,
                 .integer = {1, 1, 1, false, true, true},
                 .input = {HEAD_INPUTS(1, 1, 1, 32, 32, 0.306), BETA(1, 1, 1), GATE(1, -300, -100)}},
                {.name = "keep all, packed",
                 .B = 1,
                 .T = 200,
                 .packed = true,
                 .integer = {1, 1, 1, true, true, true},
                 .input = {HEAD_INPUTS(1, 1, 1, 32, 32, 0.306), BETA(1, 1, 1), GATE(1, -1e-4, 0), STATE(1, 1, 32, 32)}},
                {.name = "odd sizes",
                 .B = 1,
                 .T = 65,
                 .packed = true,
                 .integer = {1, 1, 1, true, true, true},
                 .input = {HEAD_INPUTS(1, 1, 1, 48, 80, 0.25), BETA(1, 1, 1), GATE(1, -1, 0), STATE(1, 1, 48, 80)}},
                {.name = "K 80, V 48, grouped, two steps",
                 .B = 1,
                 .T = 70,
                 .integer = {1, 2, 2, true, true, true},
                 .input = {HEAD_INPUTS(1, 2, 2, 80, 48, 0.194), BETA(2, 2, 1), GATE(2, -1, 0), STATE(1, 2, 80, 48)}},
                {.name = "K 128, V 128",
                 .B = 1,
                 .T = 130,
                 .packed = true,
                 .integer = {1, 1, 1, false, true, false},
                 .input = {HEAD_INPUTS(1, 1, 1, 128, 128, 0.153), BETA(1, 1, 1)}},
                {.name = "K 272, V 48, states, two steps",
                 .B = 1,
                 .T = 70,
                 .integer = {1, 2, 2, true, true, true},
                 .input = {HEAD_INPUTS(1, 2, 2, 272, 48, 0.105), BETA(2, 2, 1), GATE(2, -0.3, 0),
                           STATE(1, 2, 272, 48)}},
                {.name = "undecayed",
                 .B = 2,
                 .integer = {1, 1, 1, true, true, true, true},
                 .input = {HEAD_INPUTS(1, 1, 1, 16, 32, 0.433), BETA(1, 1, 1), GATE(1, -0.3, 0), STATE(2, 1, 16, 32)}},
                {.name = "undecayed, packed, grouped",
                 .B = 1,
                 .T = 200,
                 .packed = true,
                 .integer = {1, 2, 1, true, true, true, true},
                 .input = {HEAD_INPUTS(1, 2, 1, 80, 48, 0.194), BETA(2, 1, 1), GATE(2, -1, 0), STATE(1, 2, 80, 48)}},
                {.name = "undecayed, forget all or keep all",
                 .B = 1,
                 .T = 200,
                 .integer = {1, 1, 1, true, true, true, true},
                 .input = {HEAD_INPUTS(1, 1, 1, 32, 32, 0.306),
                           BETA(1, 1, 1),
                           {.name = "g", .cols = 1, .fp32 = true, .low = -200, .high = 0, .either = true},
                           STATE(1, 1, 32, 32)}},
                {.name = "undecayed, K 272",
                 .B = 1,
                 .T = 70,
                 .integer = {1, 1, 1, true, true, true, true},
                 .input = {HEAD_INPUTS(1, 1, 1, 272, 48, 0.105), BETA(1, 1, 1), GATE(1, -0.3, 0),
                           STATE(1, 1, 272, 48)}},
                {.name = "K 256, V 512",
                 .B = 1,
                 .T = 65,
                 .integer = {1, 1, 1, false, true, true},
                 .input = {HEAD_INPUTS(1, 1, 1, 256, 512, 0.108), BETA(1, 1, 1), GATE(1, -0.3, 0)}},
            },
};
