#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: heads, heads of k and v, and the two windows. real: the two biases. */
enum { HEADS, KV_HEADS, WINDOW1, WINDOW2 };
enum { K2_BIAS, V2_BIAS };

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    const SimplicialShape shape = {c->integer[HEADS],   c->integer[KV_HEADS],    c->integer[WINDOW1],
                                   c->integer[WINDOW2], (float)c->real[K2_BIAS], (float)c->real[V2_BIAS]};
    out[0] = simplicial_attention(tape, (SimplicialInputs){in[0], in[1], in[2], in[3], in[4]}, shape);
}

/* One head at token t: its query and output; k1, v1, k2, v2 of the whole sequence; and the first token that it sees in
 * each window. */
typedef struct Simplex {
    const double *q, *k1, *v1, *k2, *v2;
    double *out, k2_bias, v2_bias;
    int64_t D, stride, first1, first2, t;
} Simplex;

static double score(const Simplex *s, int64_t j, int64_t k) {
    double sum = 0;
    for (int64_t d = 0; d < s->D; d++)
        sum += s->q[d] * s->k1[j * s->stride + d] * (s->k2[k * s->stride + d] + s->k2_bias);
    return sum / sqrt((double)s->D);
}

static void attend(const Simplex *s) {
    double maximum = -INFINITY, sum = 0;
    for (int64_t d = 0; d < s->D; d++) s->out[d] = 0;
    for (int64_t j = s->first1; j <= s->t; j++) {
        for (int64_t k = s->first2; k <= s->t; k++) {
            const double x = score(s, j, k), before = maximum;
            maximum = fmax(maximum, x);
            const double rescale = exp(before - maximum), weight = exp(x - maximum);
            sum = sum * rescale + weight;
            for (int64_t d = 0; d < s->D; d++)
                s->out[d] =
                    s->out[d] * rescale + weight * s->v1[j * s->stride + d] * (s->v2[k * s->stride + d] + s->v2_bias);
        }
    }
    for (int64_t d = 0; d < s->D; d++) s->out[d] /= sum;
}

static int64_t first_of_window(int64_t n, int64_t window, int64_t start) {
    return n - window + 1 > start ? n - window + 1 : start;
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t heads = c->integer[HEADS], kv_heads = c->integer[KV_HEADS];
    const int64_t cols = c->input[0].cols, kv_cols = c->input[1].cols, D = cols / heads;
    for (int64_t n = 0; n < batch->B * batch->T; n++) {
        const int64_t start = n - batch->position[n];
        for (int64_t head = 0; head < heads; head++) {
            const int64_t at = head / (heads / kv_heads) * D;
            const Simplex simplex = {.q = in[0] + n * cols + head * D,
                                     .k1 = in[1] + at,
                                     .v1 = in[2] + at,
                                     .k2 = in[3] + at,
                                     .v2 = in[4] + at,
                                     .out = out[0] + n * cols + head * D,
                                     .k2_bias = (double)(float)c->real[K2_BIAS],
                                     .v2_bias = (double)(float)c->real[V2_BIAS],
                                     .D = D,
                                     .stride = kv_cols,
                                     .first1 = first_of_window(n, c->integer[WINDOW1], start),
                                     .first2 = first_of_window(n, c->integer[WINDOW2], start),
                                     .t = n};
            attend(&simplex);
        }
    }
}

#define INPUTS(q_cols, kv_cols)                                                                                        \
    {                                                                                                                  \
        {.name = "q", .cols = q_cols}, {.name = "k1", .cols = kv_cols}, {.name = "v1", .cols = kv_cols},               \
            {.name = "k2", .cols = kv_cols}, {                                                                         \
            .name = "v2", .cols = kv_cols                                                                              \
        }                                                                                                              \
    }

const OpTest simplicial_attention_test = {
    .name = "simplicial_attention",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "lengths", .B = 1, .integer = {1, 1, 20, 4}, .input = INPUTS(16, 16)},
            {.name = "grouped", .B = 1, .T = 70, .integer = {6, 2, 40, 3}, .input = INPUTS(6 * 8, 2 * 8)},
            {.name = "biases",
             .B = 2,
             .T = 40,
             .integer = {2, 1, 16, 5},
             .real = {0.25, 1},
             .input = INPUTS(2 * 16, 16)},
            {.name = "windows of one", .B = 1, .T = 70, .integer = {1, 1, 1, 1}, .input = INPUTS(16, 16)},
            {.name = "second window of one", .B = 1, .T = 70, .integer = {1, 1, 20, 1}, .input = INPUTS(16, 16)},
            {.name = "first window of 90", .B = 1, .T = 120, .integer = {2, 1, 90, 3}, .input = INPUTS(2 * 16, 16)},
            {.name = "the whole sequence", .B = 1, .T = 45, .integer = {1, 1, 100, 100}, .input = INPUTS(20, 20)},
            {.name = "first window of 40, eight heads",
             .B = 1,
             .T = 80,
             .integer = {8, 8, 40, 3},
             .input = INPUTS(8 * 32, 8 * 32)},
            {.name = "second window longer", .B = 1, .T = 150, .integer = {1, 1, 3, 70}, .input = INPUTS(16, 16)},
            {.name = "head of 64", .B = 1, .T = 66, .integer = {1, 1, 33, 3}, .input = INPUTS(64, 64)},
            {.name = "head of 128", .B = 1, .T = 66, .integer = {1, 1, 33, 3}, .input = INPUTS(128, 128)},
            {.name = "packed", .B = 2, .T = 130, .packed = true, .integer = {2, 1, 24, 5}, .input = INPUTS(2 * 16, 16)},
            {.name = "packed, long windows",
             .B = 1,
             .T = 100,
             .packed = true,
             .integer = {1, 1, 100, 40},
             .input = INPUTS(16, 16)},
            {.name = "steep",
             .B = 1,
             .T = 70,
             .integer = {1, 1, 40, 3},
             .input = {{.name = "q", .cols = 32, .low = -5, .high = 5},
                       {.name = "k1", .cols = 32, .low = -2, .high = 2},
                       {.name = "v1", .cols = 32},
                       {.name = "k2", .cols = 32, .low = -2, .high = 2},
                       {.name = "v2", .cols = 32}}},
        },
};
