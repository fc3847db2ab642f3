/* chunk_dplr and chunk_kda: the recurrences themselves, one token after another, in fp64. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* A case's integers: heads, and 1 if the final state is wanted. */
enum { HEADS, FINAL };
/* The inputs of either op. The last one may be left out. */
enum { QUERY, KEY, VALUE, GATE, READER, WRITER, DPLR_INITIAL };
enum { BETA = READER, KDA_INITIAL };
static const float DPLR_SCALE = 0.7f;

static Tensor *initial_of(Tensor *const in[], const OpCase *c, int number) {
    return c->input[number].cols ? in[number] : NULL;
}

static void build_dplr(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = chunk_dplr(tape, in[QUERY], in[KEY], in[VALUE], in[READER], in[WRITER], in[GATE], c->integer[HEADS],
                        DPLR_SCALE, initial_of(in, c, DPLR_INITIAL), c->integer[FINAL] ? &out[1] : NULL);
}

static void build_kda(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = chunk_kda(tape, in[QUERY], in[KEY], in[VALUE], in[BETA], in[GATE], c->integer[HEADS],
                       initial_of(in, c, KDA_INITIAL), c->integer[FINAL] ? &out[1] : NULL);
}

/* read = x S */
static void read_state(double *read, const double *S, int64_t K, int64_t V, const double *x) {
    for (int64_t j = 0; j < V; j++) read[j] = 0;
    for (int64_t d = 0; d < K; d++)
        for (int64_t j = 0; j < V; j++) read[j] += x[d] * S[d * V + j];
}

/* S = S + x y^T */
static void write_state(double *S, int64_t K, int64_t V, const double *x, const double *y) {
    for (int64_t d = 0; d < K; d++)
        for (int64_t j = 0; j < V; j++) S[d * V + j] += x[d] * y[j];
}

/* S = diag(e^g) S */
static void decay_state(double *S, int64_t K, int64_t V, const double *g) {
    for (int64_t d = 0; d < K; d++)
        for (int64_t j = 0; j < V; j++) S[d * V + j] *= exp(g[d]);
}

/* Updates S with the keys at offset `key`, the values at `value` and the beta at `row`. `read` is scratch. */
static void update(double *S, double *read, bool kda, int64_t K, int64_t V, double *const in[], int64_t key,
                   int64_t value, int64_t row) {
    if (!kda) read_state(read, S, K, V, in[READER] + key);
    decay_state(S, K, V, in[GATE] + key);
    if (kda) {
        read_state(read, S, K, V, in[KEY] + key);
        for (int64_t j = 0; j < V; j++) read[j] = in[BETA][row] * (in[VALUE][value + j] - read[j]);
        write_state(S, K, V, in[KEY] + key, read);
    } else {
        write_state(S, K, V, in[WRITER] + key, read);
        write_state(S, K, V, in[KEY] + key, in[VALUE] + value);
    }
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[], bool kda) {
    const int64_t heads = c->integer[HEADS], T = batch->T, initial = kda ? KDA_INITIAL : DPLR_INITIAL;
    const int64_t K = c->input[QUERY].cols / heads, V = c->input[VALUE].cols / heads;
    const double scale = kda ? 1 / sqrt((double)K) : (double)DPLR_SCALE;
    double *S = malloc((size_t)(K * V) * sizeof *S), *read = malloc((size_t)V * sizeof *read);
    for (int64_t sequence = 0; sequence < batch->B * heads; sequence++) {
        const int64_t b = sequence / heads, h = sequence % heads;
        memset(S, 0, (size_t)(K * V) * sizeof *S);
        if (c->input[initial].cols) memcpy(S, in[initial] + sequence * K * V, (size_t)(K * V) * sizeof *S);
        for (int64_t token = b * T; token < (b + 1) * T; token++) {
            const int64_t row = token * heads + h;
            if (token > b * T && batch->segment[token] != batch->segment[token - 1])
                memset(S, 0, (size_t)(K * V) * sizeof *S);
            update(S, read, kda, K, V, in, row * K, row * V, row);
            read_state(out[0] + row * V, S, K, V, in[QUERY] + row * K);
            for (int64_t j = 0; j < V; j++) out[0][row * V + j] *= scale;
        }
        if (c->integer[FINAL]) memcpy(out[1] + sequence * K * V, S, (size_t)(K * V) * sizeof *S);
    }
    free(read);
    free(S);
}

static void naive_dplr(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    naive(c, batch, in, out, false);
}
static void naive_kda(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    naive(c, batch, in, out, true);
}

/* Inputs with keys k and a of a length of about 1, uniform within `bound` = sqrt(3 / K), and b about half as long.
 * Gates are uniform in [low_gate, high_gate). */
#define HEAD(input, heads, K, bound)                                                                                   \
    { .name = input, .cols = (heads) * (K), .low = -(bound), .high = (bound) }
#define GATES(heads, K, low_gate, high_gate)                                                                           \
    { .name = "g", .cols = (heads) * (K), .fp32 = true, .low = low_gate, .high = high_gate }
#define VALUES(heads, V)                                                                                               \
    { .name = "v", .cols = (heads) * (V) }
#define STATE(sequences, heads, K, V)                                                                                  \
    { .name = "initial", .rows = (sequences) * (heads) * (K), .cols = V, .fp32 = true }
#define QUERIES(heads, K)                                                                                              \
    { .name = "q", .cols = (heads) * (K) }
#define BETAS(heads, most)                                                                                             \
    { .name = "beta", .cols = heads, .fp32 = true, .low = 1e-3, .high = most }
#define DPLR_INPUTS(heads, K, V, bound, low_gate, high_gate)                                                           \
    QUERIES(heads, K), HEAD("k", heads, K, bound), VALUES(heads, V), GATES(heads, K, low_gate, high_gate),             \
        HEAD("a", heads, K, bound), HEAD("b", heads, K, 0.5 * (bound))
#define KDA_INPUTS(heads, K, V, bound, low_gate, high_gate, most_beta)                                                 \
    QUERIES(heads, K), HEAD("k", heads, K, bound), VALUES(heads, V), GATES(heads, K, low_gate, high_gate),             \
        BETAS(heads, most_beta)

const OpTest chunk_dplr_test = {
    .name = "chunk_dplr",
    .build = build_dplr,
    .naive = naive_dplr,
    .cases = {
        {.name = "plain", .B = 2, .integer = {2, 0}, .input = {DPLR_INPUTS(2, 32, 32, 0.306, -0.61, -1e-4)}},
        {.name = "packed",
         .B = 1,
         .packed = true,
         .integer = {2, 0},
         .input = {DPLR_INPUTS(2, 32, 64, 0.306, -0.61, -1e-4)}},
        {.name = "states",
         .B = 2,
         .integer = {1, 1},
         .input = {DPLR_INPUTS(1, 16, 32, 0.433, -0.1, 0), STATE(2, 1, 16, 32)}},
        {.name = "packed, states, K and V of 64",
         .B = 1,
         .T = 130,
         .packed = true,
         .integer = {2, 1},
         .input = {DPLR_INPUTS(2, 64, 64, 0.217, -0.61, -1e-4), STATE(1, 2, 64, 64)}},
        {.name = "gates to -6, packed",
         .B = 1,
         .T = 130,
         .packed = true,
         .integer = {1, 1},
         .input = {DPLR_INPUTS(1, 32, 32, 0.306, -6, 0), STATE(1, 1, 32, 32)}},
        {.name = "gates to -50", .B = 1, .T = 200, .integer = {1, 0}, .input = {DPLR_INPUTS(1, 48, 32, 0.25, -50, 0)}},
        {.name = "forget all or keep all",
         .B = 1,
         .T = 130,
         .integer = {1, 1},
         .input = {QUERIES(1, 32),
                   HEAD("k", 1, 32, 0.306),
                   VALUES(1, 32),
                   {.name = "g", .cols = 32, .fp32 = true, .low = -200, .high = 0, .either = true},
                   HEAD("a", 1, 32, 0.306),
                   HEAD("b", 1, 32, 0.153),
                   STATE(1, 1, 32, 32)}},
        {.name = "odd sizes",
         .B = 1,
         .T = 65,
         .packed = true,
         .integer = {1, 1},
         .input = {DPLR_INPUTS(1, 48, 80, 0.25, -1, 0), STATE(1, 1, 48, 80)}},
        {.name = "K 128, V 128",
         .B = 1,
         .T = 130,
         .integer = {1, 0},
         .input = {DPLR_INPUTS(1, 128, 128, 0.153, -0.61, 0)}},
        {.name = "K 256, V 512",
         .B = 1,
         .T = 65,
         .integer = {1, 0},
         .input = {DPLR_INPUTS(1, 256, 512, 0.108, -0.3, 0)}},
    }};

const OpTest chunk_kda_test = {
    .name = "chunk_kda",
    .build = build_kda,
    .naive = naive_kda,
    .cases = {
        {.name = "plain", .B = 2, .integer = {2, 0}, .input = {KDA_INPUTS(2, 32, 32, 0.306, -0.3, -1e-4, 1)}},
        {.name = "packed",
         .B = 1,
         .T = 200,
         .packed = true,
         .integer = {2, 0},
         .input = {KDA_INPUTS(2, 32, 64, 0.306, -0.3, -1e-4, 1)}},
        {.name = "states",
         .B = 2,
         .integer = {1, 1},
         .input = {KDA_INPUTS(1, 16, 32, 0.433, -0.1, 0, 1), STATE(2, 1, 16, 32)}},
        {.name = "packed, states, beta to 2",
         .B = 1,
         .packed = true,
         .integer = {2, 1},
         .input = {KDA_INPUTS(2, 16, 16, 0.433, -0.1, 0, 2), STATE(1, 2, 16, 16)}},
        {.name = "gates to -6, packed",
         .B = 1,
         .T = 130,
         .packed = true,
         .integer = {1, 1},
         .input = {KDA_INPUTS(1, 64, 64, 0.217, -6, 0, 1), STATE(1, 1, 64, 64)}},
        {.name = "gates to -2.6, no block steep",
         .B = 1,
         .T = 130,
         .integer = {1, 0},
         .input = {KDA_INPUTS(1, 32, 32, 0.306, -2.6, -1.5, 1)}},
        {.name = "gates to -50",
         .B = 1,
         .T = 200,
         .integer = {1, 0},
         .input = {KDA_INPUTS(1, 32, 32, 0.306, -50, 0, 1)}},
        {.name = "forget all or keep all",
         .B = 1,
         .T = 200,
         .integer = {1, 1},
         .input = {QUERIES(1, 32),
                   HEAD("k", 1, 32, 0.306),
                   VALUES(1, 32),
                   {.name = "g", .cols = 32, .fp32 = true, .low = -200, .high = 0, .either = true},
                   BETAS(1, 1),
                   STATE(1, 1, 32, 32)}},
        {.name = "keep all", .B = 1, .T = 200, .integer = {1, 0}, .input = {KDA_INPUTS(1, 32, 32, 0.306, -1e-4, 0, 1)}},
        {.name = "odd sizes",
         .B = 1,
         .T = 65,
         .packed = true,
         .integer = {1, 1},
         .input = {KDA_INPUTS(1, 48, 80, 0.25, -1, 0, 1), STATE(1, 1, 48, 80)}},
        {.name = "K 128, V 128",
         .B = 1,
         .T = 130,
         .packed = true,
         .integer = {1, 0},
         .input = {KDA_INPUTS(1, 128, 128, 0.153, -0.3, 0, 1)}},
        {.name = "K 256, V 512",
         .B = 1,
         .T = 65,
         .integer = {1, 0},
         .input = {KDA_INPUTS(1, 256, 512, 0.108, -0.3, 0, 1)}},
    }};
