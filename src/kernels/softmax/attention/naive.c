#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: heads, heads of k and v, and window. */
enum { HEADS, KV_HEADS, WINDOW };

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = attention(tape, in[0], in[1], in[2],
                       (AttentionShape){c->integer[HEADS], c->integer[KV_HEADS], c->integer[WINDOW]});
}

static double dot(const double *x, const double *y, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

/* The log gates of one head, `stride` entries apart; NULL: all 0. */
typedef struct Gates {
    const double *g;
    int64_t stride;
} Gates;

/* The sum of the log gates of the tokens s + 1 .. t. */
static double decay(Gates gates, int64_t s, int64_t t) {
    double sum = 0;
    for (int64_t i = s + 1; gates.g && i <= t; i++) sum += gates.g[i * gates.stride];
    return sum;
}

/* out = softmax over the keys `first .. t` of q k / sqrt(D) + decay, times their values. k, v, gates and out are those
 * of one head. */
static void attend(const double *q, const double *k, const double *v, Gates gates, double *out, int64_t first,
                   int64_t t, int64_t D, int64_t stride) {
    double maximum = -INFINITY, sum = 0;
    for (int64_t s = first; s <= t; s++)
        maximum = fmax(maximum, dot(q, k + s * stride, D) / sqrt((double)D) + decay(gates, s, t));
    for (int64_t i = 0; i < D; i++) out[i] = 0;
    for (int64_t s = first; s <= t; s++) {
        const double weight = exp(dot(q, k + s * stride, D) / sqrt((double)D) + decay(gates, s, t) - maximum);
        sum += weight;
        for (int64_t i = 0; i < D; i++) out[i] += weight * v[s * stride + i];
    }
    for (int64_t i = 0; i < D; i++) out[i] /= sum;
}

static void naive_of(const OpCase *c, const Batch *batch, double *const in[], const double *g, double *const out[]) {
    const int64_t heads = c->integer[HEADS], kv_heads = c->integer[KV_HEADS], window = c->integer[WINDOW];
    const int64_t cols = c->input[0].cols, kv_cols = c->input[1].cols, D = cols / heads, T = batch->T;
    for (int64_t n = 0; n < batch->B * T; n++) {
        const int64_t sequence = n / T * T;
        int64_t first = n;
        while (first > sequence && batch->segment[first - 1] == batch->segment[n] &&
               (!window || n - first + 1 < window))
            first--;
        for (int64_t head = 0; head < heads; head++) {
            const int64_t kv_column = head / (heads / kv_heads) * D;
            attend(in[0] + n * cols + head * D, in[1] + kv_column, in[2] + kv_column,
                   (Gates){g ? g + head : NULL, heads}, out[0] + n * cols + head * D, first, n, D, kv_cols);
        }
    }
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    naive_of(c, batch, in, NULL, out);
}

static void build_forgetting(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = forgetting_attention(tape, in[0], in[1], in[2], in[3],
                                  (AttentionShape){.heads = c->integer[HEADS], .kv_heads = c->integer[KV_HEADS]});
}

static void naive_forgetting(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    naive_of(c, batch, in, in[3], out);
}

#define QKV(q_cols, kv_cols)                                                                                           \
    { {.name = "q", .cols = q_cols}, {.name = "k", .cols = kv_cols}, {.name = "v", .cols = kv_cols}, }

const OpTest attention_test = {
    .name = "attention",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "one head", .B = 1, .integer = {1, 1, 0}, .input = QKV(32, 32)},
            {.name = "odd head size", .B = 1, .T = 70, .integer = {2, 2, 0}, .input = QKV(2 * 20, 2 * 20)},
            {.name = "two heads of 64", .B = 2, .T = 130, .integer = {2, 2, 0}, .input = QKV(2 * 64, 2 * 64)},
            {.name = "grouped", .B = 1, .T = 90, .integer = {6, 2, 0}, .input = QKV(6 * 16, 2 * 16)},
            {.name = "window", .B = 1, .integer = {1, 1, 20}, .input = QKV(32, 32)},
            {.name = "window of a tile", .B = 1, .T = 200, .integer = {2, 1, 64}, .input = QKV(2 * 16, 16)},
            {.name = "window of one", .B = 1, .T = 70, .integer = {1, 1, 1}, .input = QKV(16, 16)},
            {.name = "packed", .B = 2, .packed = true, .integer = {2, 1, 0}, .input = QKV(2 * 16, 16)},
            {.name = "packed window",
             .B = 2,
             .packed = true,
             .T = 200,
             .integer = {2, 2, 33},
             .input = QKV(2 * 16, 2 * 16)},
            {.name = "head of 80", .B = 1, .T = 66, .integer = {1, 1, 0}, .input = QKV(80, 80)},
            {.name = "head of 256", .B = 1, .T = 66, .integer = {1, 1, 0}, .input = QKV(256, 256)},
            {.name = "steep",
             .B = 1,
             .T = 130,
             .integer = {1, 1, 0},
             .input = {{.name = "q", .cols = 32, .low = -20, .high = 20},
                       {.name = "k", .cols = 32, .low = -4, .high = 4},
                       {.name = "v", .cols = 32}}},
        },
};

#define QKVG(q_cols, kv_cols, heads, least, most)                                                                      \
    {                                                                                                                  \
        {.name = "q", .cols = q_cols}, {.name = "k", .cols = kv_cols}, {.name = "v", .cols = kv_cols}, {               \
            .name = "g", .cols = heads, .fp32 = true, .low = least, .high = most                                       \
        }                                                                                                              \
    }

const OpTest forgetting_attention_test = {
    .name = "forgetting_attention",
    .build = build_forgetting,
    .naive = naive_forgetting,
    .cases =
        {
            {.name = "one head", .B = 1, .integer = {1, 1}, .input = QKVG(32, 32, 1, -2, 0)},
            {.name = "odd head size", .B = 1, .T = 70, .integer = {2, 2}, .input = QKVG(2 * 20, 2 * 20, 2, -0.3, 0)},
            {.name = "two heads of 64", .B = 2, .T = 130, .integer = {2, 2}, .input = QKVG(2 * 64, 2 * 64, 2, -0.1, 0)},
            {.name = "grouped", .B = 1, .T = 90, .integer = {6, 2}, .input = QKVG(6 * 16, 2 * 16, 6, -0.5, 0)},
            {.name = "packed", .B = 2, .packed = true, .integer = {2, 1}, .input = QKVG(2 * 16, 16, 2, -0.5, 0)},
            {.name = "head of 80", .B = 1, .T = 66, .integer = {1, 1}, .input = QKVG(80, 80, 1, -0.1, 0)},
            {.name = "head of 256", .B = 1, .T = 66, .integer = {1, 1}, .input = QKVG(256, 256, 1, -0.1, 0)},
            {.name = "nearly open", .B = 1, .T = 200, .integer = {1, 1}, .input = QKVG(16, 16, 1, -1e-4, 0)},
            /* each token sees hardly more than itself, so ds is no larger than delta's rounding in bf16 */
            {.name = "nearly shut",
             .B = 1,
             .T = 200,
             .integer = {1, 1},
             .input = QKVG(16, 16, 1, -40, -3),
             .gradient_bf16 = 0.1},
            {.name = "open or shut",
             .B = 1,
             .T = 200,
             .integer = {1, 1},
             .input = {{.name = "q", .cols = 16},
                       {.name = "k", .cols = 16},
                       {.name = "v", .cols = 16},
                       {.name = "g", .cols = 1, .fp32 = true, .low = -30, .high = -1e-3, .either = true}}},
        },
};
