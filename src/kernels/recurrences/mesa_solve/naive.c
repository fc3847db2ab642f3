/* mesa_solve: the state token by token and conjugate gradients, in fp64. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* A case's integers: heads, K, steps, and whether the initial state is an input and the final state is wanted. Inputs:
 * q, k, g, s, lambda, scale, initial. The output is x * scale; the scale is only there to make gradients large. */
enum { HEADS, KEY_SIZE, STEPS, STATES };
enum { MOST_KEYS = 128 };
enum { Q, KEY, GATE, SCALE, LAMBDA, OUT_SCALE, INITIAL };

static const double lower_bound = 0.25, damping = 1e-5;

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    const MesaSolveShape shape = {c->integer[HEADS], (int32_t)c->integer[STEPS], (float)lower_bound};
    Tensor *initial = c->integer[STATES] ? in[INITIAL] : NULL;
    Tensor *x =
        mesa_solve(tape, in[Q], in[KEY], in[GATE], in[SCALE], in[LAMBDA], shape, initial, initial ? &out[1] : NULL);
    out[0] = multiply(tape, x, in[OUT_SCALE]);
}

/* to = (H + diag(l)) p */
static void apply(const double *H, const double *l, const double *p, double *to, int64_t K) {
    for (int64_t i = 0; i < K; i++) {
        to[i] = l[i] * p[i];
        for (int64_t j = 0; j < K; j++) to[i] += H[i * K + j] * p[j];
    }
}

static double dot(const double *a, const double *b, int64_t K) {
    double sum = 0;
    for (int64_t i = 0; i < K; i++) sum += a[i] * b[i];
    return sum;
}

static void solve(const double *H, const double *l, const double *q, double *x, int64_t K, int64_t steps) {
    double r[MOST_KEYS], p[MOST_KEYS], y[MOST_KEYS];
    memset(x, 0, (size_t)K * sizeof *x);
    memcpy(r, q, (size_t)K * sizeof *r);
    memcpy(p, q, (size_t)K * sizeof *p);
    double square = dot(r, r, K);
    for (int64_t n = 0; n < steps; n++) {
        apply(H, l, p, y, K);
        const double step = square / (dot(p, y, K) + damping);
        for (int64_t i = 0; i < K; i++) x[i] += step * p[i], r[i] -= step * y[i];
        const double next = dot(r, r, K);
        for (int64_t i = 0; i < K; i++) p[i] = r[i] + next / (square + damping) * p[i];
        square = next;
    }
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t heads = c->integer[HEADS], K = c->integer[KEY_SIZE], T = batch->T;
    double *H = malloc((size_t)(K * K) * sizeof *H), l[MOST_KEYS];
    for (int64_t state = 0; state < batch->B * heads; state++) {
        const int64_t b = state / heads, n = state % heads;
        for (int64_t i = 0; i < K; i++) l[i] = log1p(exp(in[LAMBDA][n * K + i])) + lower_bound;
        memset(H, 0, (size_t)(K * K) * sizeof *H);
        if (c->integer[STATES]) memcpy(H, in[INITIAL] + state * K * K, (size_t)(K * K) * sizeof *H);
        for (int64_t row = b * T; row < (b + 1) * T; row++) {
            const double *k = in[KEY] + (row * heads + n) * K;
            const bool begins = row > b * T && batch->segment[row] != batch->segment[row - 1];
            const double decay = begins ? 0 : exp(in[GATE][row * heads + n]), scale = exp(in[SCALE][row * heads + n]);
            for (int64_t i = 0; i < K * K; i++) H[i] = decay * H[i] + scale * k[i / K] * k[i % K];
            double *x = out[0] + (row * heads + n) * K;
            solve(H, l, in[Q] + (row * heads + n) * K, x, K, c->integer[STEPS]);
            for (int64_t i = 0; i < K; i++) x[i] *= in[OUT_SCALE][(row * heads + n) * K + i];
        }
        if (c->integer[STATES]) memcpy(out[1] + state * K * K, H, (size_t)(K * K) * sizeof *H);
    }
    free(H);
}

/* Queries and the gradients of x are so large that a damping of 1e-5 has no effect. x is then the exact solution, whose
 * gradient the op computes. Keys are uniform in [low_key, high_key), gates in [low_gate, high_gate). */
#define INPUTS(heads, K, low_key, high_key, low_gate, high_gate, low_lambda, high_lambda, large)                       \
    {.name = "q", .cols = (heads) * (K), .low = -(large), .high = large},                                              \
        {.name = "k", .cols = (heads) * (K), .low = low_key, .high = high_key},                                        \
        {.name = "g", .cols = heads, .fp32 = true, .low = low_gate, .high = high_gate},                                \
        {.name = "s", .cols = heads, .fp32 = true, .low = -2, .high = 0},                                              \
        {.name = "lambda",                                                                                             \
         .rows = 1,                                                                                                    \
         .cols = (heads) * (K),                                                                                        \
         .parameter = true,                                                                                            \
         .low = low_lambda,                                                                                            \
         .high = high_lambda},                                                                                         \
    {                                                                                                                  \
        .name = "scale", .cols = (heads) * (K), .low = large, .high = 2 * (large)                                      \
    }
#define SIZES(case_name, sequences, tokens, documents, heads, K, steps, states)                                        \
    .name = case_name, .B = sequences, .T = tokens, .packed = documents, .integer = {heads, K, steps, states}
/* An entry of x that is small beside the others has an error of the size of their rounding, and so has the gradient of
 * its lambda. */
#define SMALL_ENTRIES .gradient_f32 = 1e-3
#define CASE(case_name, sequences, tokens, documents, heads, K, steps, key, low_gate, high_gate)                       \
    {                                                                                                                  \
        SIZES(case_name, sequences, tokens, documents, heads, K, steps, 0), SMALL_ENTRIES, .input = {                  \
            INPUTS(heads, K, -(key), key, low_gate, high_gate, -0.5, 1.5, 300)                                         \
        }                                                                                                              \
    }
/* All entries of the initial state are the same number, so it is symmetric. When finite differences change some of the
 * entries it is not, and the definition does not quite converge. */
#define CASE_STATES(case_name, sequences, tokens, documents, heads, K, key, low_gate)                                  \
    {                                                                                                                  \
        SIZES(case_name, sequences, tokens, documents, heads, K, 30, 1), .gradient_f32 = 5e-3, .input = {              \
            INPUTS(heads, K, -(key), key, low_gate, 0, -0.5, 1.5, 300),                                                \
            {.name = "initial",                                                                                        \
             .rows = (sequences) * (heads) * (K),                                                                      \
             .cols = K,                                                                                                \
             .fp32 = true,                                                                                             \
             .low = 0.125,                                                                                             \
             .high = 0.125 + 1e-12}                                                                                    \
        }                                                                                                              \
    }

const OpTest mesa_solve_test = {
    .name = "mesa_solve",
    .build = build,
    .naive = naive,
    .cases = {
        /* With one token, the gradient of s is made of four products of two sums, which cancel in part. */
        {SIZES("plain", 2, 0, false, 2, 16, 20, 0), SMALL_ENTRIES, .gradient_bf16 = 2e-2,
         .input = {INPUTS(2, 16, -0.4, 0.4, -0.3, 0, -0.5, 1.5, 300)}},
        CASE("packed", 2, 200, true, 2, 16, 20, 0.4, -0.3, 0),
        CASE_STATES("states", 2, 130, false, 1, 16, 0.4, -0.1),
        CASE_STATES("packed_states", 1, 200, true, 2, 16, 0.4, -0.1),
        CASE("forget_all", 1, 130, false, 1, 32, 20, 0.3, -100, -50),
        CASE("forget_and_keep", 1, 200, true, 2, 32, 24, 0.3, -60, 0),
        CASE("odd_sizes", 1, 65, true, 3, 48, 30, 0.25, -1, 0),
        CASE("K_80", 1, 130, false, 1, 80, 30, 0.2, -1, 0),
        CASE("K_128", 1, 66, true, 1, 128, 30, 0.15, -0.3, 0),
        /* Keys of almost one direction, and nothing forgotten: the eigenvalues of H + diag(lambda) range from 0.3 to
         * 300, and rounding H to bf16 changes the largest by more than the smallest. */
        {SIZES("ill_conditioned", 1, 400, false, 1, 32, 100, 0), .forward_f32 = 1e-4, .forward_bf16 = 6e-2,
         .gradient_f32 = 1e-2, .gradient_bf16 = 2e-1, .input = {INPUTS(1, 32, 0.1, 0.4, -1e-3, 0, -4, -2, 300)}},
        /* Few steps and small queries give a solution that is far from exact. Its gradient differs from the op's, which
         * is that of the exact solution. */
        {SIZES("damped", 1, 65, false, 2, 16, 3, 0), .gradient_f32 = 2,
         .input = {INPUTS(2, 16, -0.4, 0.4, -0.3, 0, -0.5, 1.5, 0.01)}},
    }};
