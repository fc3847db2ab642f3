#include <math.h>
#include <stdlib.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: heads, heads of k and v, the tokens of a block, and the blocks that a token selects. The selection is that
 * of compressed_attention. bf16 and fp64 select the same blocks if only three are selected, which scores do not decide,
 * if all are selected, and if scores differ by more than rounding (`clear`). */
enum { HEADS, KV_HEADS, BLOCK, COUNT };

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    const BlockAttentionShape shape = {c->integer[HEADS], c->integer[KV_HEADS], c->integer[BLOCK], c->integer[COUNT]};
    Tensor *selected, *k_means = block_means(tape, in[1], shape.block),
                      *v_means = block_means(tape, in[2], shape.block);
    compressed_attention(tape, in[0], k_means, v_means, shape, &selected);
    out[0] = selected_attention(tape, in[0], in[1], in[2], selected, shape);
}

static double dot(const double *x, const double *y, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

/* The shape of one case, and the query for which blocks are selected. */
typedef struct Query {
    int64_t D, group, block, count, stride; /* stride: of k and v */
    int64_t position;
    const double *q, *k, *v; /* q: the group's heads; k, v: from the document's first token on */
} Query;

/* scale q mean(k) of a head and a block. */
static double mean_score(const Query *query, int64_t head, int64_t b) {
    double score = 0;
    for (int64_t t = b * query->block; t < (b + 1) * query->block; t++)
        score += dot(query->q + head * query->D, query->k + t * query->stride, query->D);
    return score / (double)query->block / sqrt((double)query->D);
}

/* importance[b] += the softmax of a head over the whole blocks before the token. */
static void add_importance(const Query *query, int64_t head, double *importance) {
    const int64_t blocks = (query->position + 1) / query->block;
    double maximum = -INFINITY, sum = 0;
    for (int64_t b = 0; b < blocks; b++) maximum = fmax(maximum, mean_score(query, head, b));
    for (int64_t b = 0; b < blocks; b++) sum += exp(mean_score(query, head, b) - maximum);
    for (int64_t b = 0; b < blocks; b++) importance[b] += exp(mean_score(query, head, b) - maximum) / sum;
}

/* Whether block b is among the `count` blocks with the largest importance. */
static bool is_selected(const Query *query, const double *importance, int64_t b) {
    const int64_t own = query->position / query->block;
    int64_t before = 0;
    for (int64_t other = 0; other <= own; other++)
        before += importance[other] > importance[b] || (importance[other] == importance[b] && other < b);
    return before < query->count;
}

/* out = the softmax of q k / sqrt(D) over the tokens of the selected blocks, up to the query's own, times their
 * values. */
static void attend(const Query *query, const double *importance, int64_t head, double *out) {
    double maximum = -INFINITY, sum = 0;
    const double *q = query->q + head * query->D;
    for (int64_t i = 0; i < query->D; i++) out[i] = 0;
    for (int64_t t = 0; t <= query->position; t++) {
        if (!is_selected(query, importance, t / query->block)) continue;
        const double score = dot(q, query->k + t * query->stride, query->D) / sqrt((double)query->D), before = maximum;
        maximum = fmax(maximum, score);
        const double rescale = exp(before - maximum), weight = exp(score - maximum);
        sum = sum * rescale + weight;
        for (int64_t i = 0; i < query->D; i++) out[i] = out[i] * rescale + weight * query->v[t * query->stride + i];
    }
    for (int64_t i = 0; i < query->D; i++) out[i] /= sum;
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t heads = c->integer[HEADS], kv_heads = c->integer[KV_HEADS], group = heads / kv_heads;
    const int64_t cols = c->input[0].cols, kv_cols = c->input[1].cols, D = cols / heads, block = c->integer[BLOCK];
    double *importance = malloc((size_t)(batch->T / block + 1) * sizeof(double));
    for (int64_t n = 0; n < batch->B * batch->T; n++) {
        for (int64_t kv_head = 0; kv_head < kv_heads; kv_head++) {
            const int64_t first = (n - batch->position[n]) * kv_cols + kv_head * D, own = batch->position[n] / block;
            const int64_t at = n * cols + kv_head * group * D;
            const Query query = {
                D,          group,         block,        c->integer[COUNT], kv_cols, batch->position[n],
                in[0] + at, in[1] + first, in[2] + first};
            for (int64_t b = 0; b <= own; b++) importance[b] = 0;
            for (int64_t head = 0; head < group; head++) add_importance(&query, head, importance);
            importance[0] = importance[own] = INFINITY;
            if (own > 0) importance[own - 1] = INFINITY;
            for (int64_t head = 0; head < group; head++) attend(&query, importance, head, out[0] + at + head * D);
        }
    }
    free(importance);
}

#define QKV(q_cols, kv_cols)                                                                                           \
    { {.name = "q", .cols = q_cols}, {.name = "k", .cols = kv_cols}, {.name = "v", .cols = kv_cols}, }

const OpTest selected_attention_test = {
    .name = "selected_attention",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "lengths", .B = 1, .integer = {16, 1, 16, 3}, .input = QKV(16 * 16, 16)},
            {.name = "all selected", .B = 2, .T = 90, .integer = {16, 1, 16, 6}, .input = QKV(16 * 16, 16)},
            {.name = "blocks of one", .B = 1, .T = 70, .integer = {16, 1, 1, 3}, .input = QKV(16 * 8, 8)},
            {.name = "odd blocks", .B = 2, .T = 100, .integer = {32, 2, 7, 3}, .input = QKV(32 * 8, 2 * 8)},
            {.name = "long blocks", .B = 1, .T = 330, .integer = {16, 1, 80, 3}, .input = QKV(16 * 8, 8)},
            {.name = "48 heads of a key head", .B = 1, .T = 41, .integer = {48, 1, 4, 3}, .input = QKV(48 * 8, 8)},
            {.name = "64 heads of a key head", .B = 1, .T = 41, .integer = {64, 1, 4, 3}, .input = QKV(64 * 8, 8)},
            {.name = "head of 20", .B = 1, .T = 80, .integer = {16, 1, 16, 3}, .input = QKV(16 * 20, 20)},
            {.name = "head of 64", .B = 1, .T = 80, .integer = {16, 1, 16, 3}, .input = QKV(16 * 64, 64)},
            {.name = "head of 128", .B = 1, .T = 80, .integer = {16, 1, 16, 3}, .input = QKV(16 * 128, 128)},
            {.name = "packed", .B = 2, .T = 200, .packed = true, .integer = {16, 1, 4, 3}, .input = QKV(16 * 8, 8)},
            {.name = "packed, two key heads",
             .B = 1,
             .T = 200,
             .packed = true,
             .integer = {32, 2, 16, 3},
             .input = QKV(32 * 8, 2 * 8)},
            {.name = "clear",
             .B = 1,
             .T = 200,
             .integer = {16, 1, 8, 7},
             .input = {{.name = "q", .cols = 16 * 16, .low = 0.9, .high = 1.1},
                       {.name = "k", .cols = 16, .low = -3, .high = 3},
                       {.name = "v", .cols = 16}}},
            {.name = "clear, packed, two words of blocks",
             .B = 1,
             .T = 200,
             .packed = true,
             .integer = {16, 1, 3, 9},
             .input = {{.name = "q", .cols = 16 * 16, .low = 0.95, .high = 1.05},
                       {.name = "k", .cols = 16, .low = -2, .high = 2},
                       {.name = "v", .cols = 16}}},
        },
};
