#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: heads. Counts are powers of two, so that the codes have the same bits in bf16, which matters where two are
 * nearly equally near. Gradients are not compared here: that of the keys goes straight through, and the codebook's are
 * statistics; tests/ops/test_codes.c compares them. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    Tensor *index;
    out[0] = nearest_codes(tape, in[0], in[1], in[2], c->integer[0], &index, &out[1], &out[2]);
}

static double squared_distance(const double *x, const double *y, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (x[i] - y[i]) * (x[i] - y[i]);
    return sum;
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t heads = c->integer[0], K = c->input[0].cols / heads, codes = c->input[2].cols,
                  N = batch->B * batch->T;
    for (int64_t i = 0; i < heads * codes * K; i++) out[2][i] = in[1][i] / fmax(in[2][i / K], 0.01);
    for (int64_t n = 0; n < N * heads; n++) {
        const double *k = in[0] + n * K, *of_head = out[2] + n % heads * codes * K;
        int64_t best = 0;
        for (int64_t s = 1; s < codes; s++)
            if (squared_distance(k, of_head + s * K, K) < squared_distance(k, of_head + best * K, K)) best = s;
        for (int64_t i = 0; i < K; i++) out[0][n * K + i] = of_head[best * K + i];
        out[1][n] = squared_distance(k, of_head + best * K, K);
    }
}

#define CODEBOOK(heads, codes, size)                                                                                   \
    {.name = "k", .cols = (heads) * (size), .constant = true},                                                         \
        {.name = "c_sum", .rows = heads, .cols = (codes) * (size), .parameter = true, .constant = true}, {             \
        .name = "c_count", .rows = heads, .cols = codes, .parameter = true, .constant = true, .low = 1, .high = 4,     \
        .either = true                                                                                                 \
    }

const OpTest nearest_codes_test = {
    .name = "nearest_codes",
    .build = build,
    .naive = naive,
    .cases = {
        {.name = "lengths", .B = 1, .integer = {2}, .input = {CODEBOOK(2, 24, 16)}},
        {.name = "one code", .B = 2, .T = 40, .integer = {1}, .input = {CODEBOOK(1, 1, 24)}},
        {.name = "several tiles of codes", .B = 1, .T = 70, .integer = {2}, .input = {CODEBOOK(2, 150, 64)}},
        {.name = "more codes than keys", .B = 1, .T = 10, .integer = {1}, .input = {CODEBOOK(1, 512, 32)}},
        {.name = "odd head of 20", .B = 1, .T = 70, .integer = {3}, .input = {CODEBOOK(3, 65, 20)}},
        {.name = "head of 128", .B = 1, .T = 130, .integer = {1}, .input = {CODEBOOK(1, 70, 128)}},
        {.name = "head of 200", .B = 1, .T = 70, .integer = {1}, .input = {CODEBOOK(1, 40, 200)}},
        {.name = "several parts", .B = 3, .T = 700, .integer = {1}, .input = {CODEBOOK(1, 9, 8)}},
        {.name = "packed", .B = 2, .T = 65, .packed = true, .integer = {2}, .input = {CODEBOOK(2, 24, 16)}},
    }};
