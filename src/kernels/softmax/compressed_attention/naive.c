#include <math.h>

#include "kernels/ops.h"
#include "kernels/softmax/document_blocks.h"
#include "ops/op_test.h"

/* integer: heads, heads of k and v, and the tokens of a block. k and v are the means of blocks. */
enum { HEADS, KV_HEADS, BLOCK };

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    const BlockAttentionShape shape = {c->integer[HEADS], c->integer[KV_HEADS], c->integer[BLOCK], 3};
    Tensor *selected;
    out[0] = compressed_attention(tape, in[0], in[1], in[2], shape, &selected);
}

static double dot(const double *x, const double *y, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

/* out = the softmax of q k / sqrt(D) over the first `count` rows of k, times those of v; 0 if count is 0. */
static void attend(const double *q, const double *k, const double *v, double *out, int64_t count, int64_t D,
                   int64_t stride) {
    double maximum = -INFINITY, sum = 0;
    for (int64_t r = 0; r < count; r++) maximum = fmax(maximum, dot(q, k + r * stride, D) / sqrt((double)D));
    for (int64_t i = 0; i < D; i++) out[i] = 0;
    for (int64_t r = 0; r < count; r++) sum += exp(dot(q, k + r * stride, D) / sqrt((double)D) - maximum);
    for (int64_t r = 0; r < count; r++) {
        const double p = exp(dot(q, k + r * stride, D) / sqrt((double)D) - maximum) / sum;
        for (int64_t i = 0; i < D; i++) out[i] += p * v[r * stride + i];
    }
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t heads = c->integer[HEADS], kv_heads = c->integer[KV_HEADS], block = c->integer[BLOCK];
    const int64_t cols = c->input[0].cols, kv_cols = c->input[1].cols, D = cols / heads, T = batch->T;
    for (int64_t n = 0; n < batch->B * T; n++) {
        const int64_t first = n / T * block_rows(T, block) + (n % T - batch->position[n]) / block;
        for (int64_t head = 0; head < heads; head++) {
            const int64_t at = first * kv_cols + head / (heads / kv_heads) * D;
            attend(in[0] + n * cols + head * D, in[1] + at, in[2] + at, out[0] + n * cols + head * D,
                   (batch->position[n] + 1) / block, D, kv_cols);
        }
    }
}

#define QKV(q_cols, kv_rows, kv_cols)                                                                                  \
    {                                                                                                                  \
        {.name = "q", .cols = q_cols}, {.name = "k", .rows = kv_rows, .cols = kv_cols}, {                              \
            .name = "v", .rows = kv_rows, .cols = kv_cols                                                              \
        }                                                                                                              \
    }

const OpTest compressed_attention_test = {
    .name = "compressed_attention",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "one token", .B = 1, .T = 1, .integer = {16, 1, 16}, .input = QKV(16 * 16, 1, 16)},
            {.name = "no whole block", .B = 2, .T = 15, .integer = {16, 1, 16}, .input = QKV(16 * 16, 2, 16)},
            {.name = "whole blocks", .B = 1, .T = 64, .integer = {16, 1, 16}, .input = QKV(16 * 16, 4, 16)},
            {.name = "part of a block", .B = 2, .T = 200, .integer = {16, 1, 16}, .input = QKV(16 * 32, 2 * 12, 32)},
            {.name = "blocks of one", .B = 2, .T = 70, .integer = {16, 1, 1}, .input = QKV(16 * 8, 2 * 70, 8)},
            {.name = "odd blocks", .B = 2, .T = 100, .integer = {32, 2, 7}, .input = QKV(32 * 8, 2 * 14, 2 * 8)},
            {.name = "48 heads of a key head", .B = 1, .T = 41, .integer = {48, 1, 4}, .input = QKV(48 * 8, 10, 8)},
            {.name = "64 heads of a key head", .B = 1, .T = 41, .integer = {64, 1, 4}, .input = QKV(64 * 8, 10, 8)},
            {.name = "head of 20", .B = 1, .T = 40, .integer = {16, 1, 4}, .input = QKV(16 * 20, 10, 20)},
            {.name = "head of 64", .B = 1, .T = 70, .integer = {16, 1, 2}, .input = QKV(16 * 64, 35, 64)},
            {.name = "head of 128", .B = 1, .T = 40, .integer = {16, 1, 4}, .input = QKV(16 * 128, 10, 128)},
            {.name = "packed", .B = 2, .T = 200, .packed = true, .integer = {16, 1, 4}, .input = QKV(16 * 8, 100, 8)},
            {.name = "packed, two key heads",
             .B = 1,
             .T = 130,
             .packed = true,
             .integer = {32, 2, 1},
             .input = QKV(32 * 8, 130, 2 * 8)},
            {.name = "several parts", .B = 1, .T = 1100, .integer = {16, 1, 64}, .input = QKV(16 * 8, 17, 8)},
            {.name = "steep",
             .B = 1,
             .T = 70,
             .integer = {16, 1, 2},
             .input = {{.name = "q", .cols = 16 * 16, .low = -12, .high = 12},
                       {.name = "k", .rows = 35, .cols = 16, .low = -4, .high = 4},
                       {.name = "v", .rows = 35, .cols = 16}}},
        },
};
