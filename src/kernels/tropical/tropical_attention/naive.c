#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: heads. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = tropical_attention(tape, in[0], in[1], in[2], c->integer[0]);
}

static double distance(const double *q, const double *k, int64_t cols) {
    double largest = -INFINITY, smallest = INFINITY;
    for (int64_t d = 0; d < cols; d++) {
        largest = fmax(largest, q[d] - k[d]);
        smallest = fmin(smallest, q[d] - k[d]);
    }
    return largest - smallest;
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t heads = c->integer[0], all = c->input[0].cols, cols = all / heads;
    for (int64_t n = 0; n < batch->B * batch->T; n++)
        for (int64_t h = 0; h < heads; h++) {
            double *o = out[0] + n * all + h * cols;
            for (int64_t d = 0; d < cols; d++) o[d] = -INFINITY;
            for (int64_t j = n - batch->position[n]; j <= n; j++) {
                const int64_t at = j * all + h * cols;
                const double score = -distance(in[0] + n * all + h * cols, in[1] + at, cols);
                for (int64_t d = 0; d < cols; d++) o[d] = fmax(o[d], score + in[2][at + d]);
            }
        }
}

#define QKV(columns)                                                                                                   \
    {                                                                                                                  \
        {.name = "q", .cols = columns}, {.name = "k", .cols = columns}, { .name = "v", .cols = columns }               \
    }

const OpTest tropical_attention_test = {
    .name = "tropical_attention",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "lengths", .B = 1, .integer = {2}, .input = QKV(32)},
            {.name = "values that decide",
             .B = 2,
             .T = 40,
             .integer = {1},
             .input = {{.name = "q", .cols = 9, .low = -0.1, .high = 0.1},
                       {.name = "k", .cols = 9, .low = -0.1, .high = 0.1},
                       {.name = "v", .cols = 9}}},
            {.name = "wide heads", .B = 1, .T = 20, .integer = {1}, .input = QKV(200)},
            {.name = "packed", .B = 2, .T = 90, .packed = true, .integer = {3}, .input = QKV(21)},
        },
};
