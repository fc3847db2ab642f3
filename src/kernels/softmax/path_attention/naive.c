#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: heads of q, and heads of k, v, w and beta. Inputs: q, k, v, w, beta, and forget if the case has it. */
enum { HEADS, KV_HEADS };
enum { Q, KEY, VALUE, W, BETA, FORGET };

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = path_attention(tape, in[Q], in[KEY], in[VALUE], in[W], in[BETA], c->input[FORGET].cols ? in[FORGET] : NULL,
                            (AttentionShape){c->integer[HEADS], c->integer[KV_HEADS], 0});
}

static double dot(const double *x, const double *y, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

/* out = the softmax of (q H_t .. H_{j+1} k_j + the sum of g_{j+1} .. g_t) / sqrt(D) over the keys j = t, t - 1, ..
 * first, times their values. k, v, w and beta are those of one head, g that of the query's head or NULL. Overwrites
 * q. */
static void attend(double *q, const double *k, const double *v, const double *w, const double *beta, const double *g,
                   double *out, int64_t first, int64_t t, int64_t D, int64_t stride, int64_t kv_heads, int64_t heads) {
    double *score = malloc((size_t)(t - first + 1) * sizeof *score), forgotten = 0, maximum = -INFINITY, sum = 0;
    for (int64_t j = t; j >= first; j--) {
        score[j - first] = (dot(q, k + j * stride, D) + forgotten) / sqrt((double)D);
        maximum = fmax(maximum, score[j - first]);
        const double turned = beta[j * kv_heads] * dot(q, w + j * stride, D);
        for (int64_t d = 0; d < D; d++) q[d] -= turned * w[j * stride + d];
        if (g) forgotten += g[j * heads];
    }
    for (int64_t d = 0; d < D; d++) out[d] = 0;
    for (int64_t j = first; j <= t; j++) {
        const double weight = exp(score[j - first] - maximum);
        sum += weight;
        for (int64_t d = 0; d < D; d++) out[d] += weight * v[j * stride + d];
    }
    for (int64_t d = 0; d < D; d++) out[d] /= sum;
    free(score);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t heads = c->integer[HEADS], kv_heads = c->integer[KV_HEADS], cols = c->input[Q].cols;
    const int64_t kv_cols = c->input[KEY].cols, D = cols / heads, T = batch->T;
    double *q = malloc((size_t)D * sizeof *q);
    for (int64_t n = 0; n < batch->B * T; n++) {
        int64_t first = n;
        while (first > n / T * T && batch->segment[first - 1] == batch->segment[n]) first--;
        for (int64_t head = 0; head < heads; head++) {
            const int64_t kv_head = head / (heads / kv_heads), column = kv_head * D;
            memcpy(q, in[Q] + n * cols + head * D, (size_t)D * sizeof *q);
            attend(q, in[KEY] + column, in[VALUE] + column, in[W] + column, in[BETA] + kv_head,
                   c->input[FORGET].cols ? in[FORGET] + head : NULL, out[0] + n * cols + head * D, first, n, D, kv_cols,
                   kv_heads, heads);
        }
    }
    free(q);
}

/* Inputs with w of a length of about 1: it is uniform within `bound` = sqrt(3 / D). beta is uniform in (0, 2). */
#define INPUTS(heads, kv_heads, D, bound)                                                                              \
    {.name = "q", .cols = (heads) * (D)}, {.name = "k", .cols = (kv_heads) * (D)},                                     \
        {.name = "v", .cols = (kv_heads) * (D)},                                                                       \
        {.name = "w", .cols = (kv_heads) * (D), .low = -(bound), .high = (bound)}, {                                   \
        .name = "beta", .cols = kv_heads, .fp32 = true, .low = 1e-3, .high = 2                                         \
    }
#define GATE(heads, low_gate, high_gate)                                                                               \
    { .name = "forget", .cols = heads, .fp32 = true, .low = low_gate, .high = high_gate }

const OpTest path_attention_test =
    {
        .name = "path_attention",
        .build = build,
        .naive = naive,
        .cases =
            {
                {.name = "one head", .B = 1, .integer = {1, 1}, .input = {INPUTS(1, 1, 32, 0.306)}},
                {.name = "forget", .B = 1, .integer = {1, 1}, .input = {INPUTS(1, 1, 16, 0.433), GATE(1, -2, 0)}},
                {.name = "heads of 64", .B = 2, .T = 130, .integer = {2, 2}, .input = {INPUTS(2, 2, 64, 0.217)}},
                {.name = "heads of 128", .B = 1, .T = 130, .integer = {1, 1}, .input = {INPUTS(1, 1, 128, 0.153)}},
                {.name = "grouped, forget",
                 .B = 2,
                 .T = 200,
                 .integer = {4, 2},
                 .input = {INPUTS(4, 2, 16, 0.433), GATE(4, -2, 0)}},
                {.name = "odd head size", .B = 1, .T = 70, .integer = {2, 1}, .input = {INPUTS(2, 1, 40, 0.274)}},
                {.name = "packed", .B = 2, .packed = true, .integer = {2, 1}, .input = {INPUTS(2, 1, 16, 0.433)}},
                {.name = "packed, forget",
                 .B = 1,
                 .T = 330,
                 .packed = true,
                 .integer = {2, 2},
                 .input = {INPUTS(2, 2, 32, 0.306), GATE(2, -2, 0)}},
                {.name = "forget all or keep all",
                 .B = 1,
                 .T = 200,
                 .integer = {2, 2},
                 .input = {INPUTS(2, 2, 16, 0.433),
                           {.name = "forget", .cols = 2, .fp32 = true, .low = -400, .high = 0, .either = true}}},
                {.name = "forget nearly nothing, packed",
                 .B = 1,
                 .T = 200,
                 .packed = true,
                 .integer = {1, 1},
                 .input = {INPUTS(1, 1, 16, 0.433), GATE(1, -1e-4, 0)}},
                {.name = "more blocks than one group",
                 .B = 1,
                 .T = 1110,
                 .integer = {1, 1},
                 .input = {INPUTS(1, 1, 64, 0.217), GATE(1, -0.01, 0)}},
                /* Logits of about 27. Because their operands are rounded to bf16, they have errors of about 27 x
                 * 2^-9. */
                {.name = "steep",
                 .forward_bf16 = 2e-2,
                 .gradient_bf16 = 6e-2,
                 .B = 1,
                 .T = 130,
                 .integer = {1, 1},
                 .input = {{.name = "q", .cols = 32, .low = -20, .high = 20},
                           {.name = "k", .cols = 32, .low = -4, .high = 4},
                           {.name = "v", .cols = 32},
                           {.name = "w", .cols = 32, .low = -0.306, .high = 0.306},
                           {.name = "beta", .cols = 1, .fp32 = true, .low = 1e-3, .high = 2}}},
            },
};
