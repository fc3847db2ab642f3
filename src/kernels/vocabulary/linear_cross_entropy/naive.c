#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* real: the cap of the logits, 0: none, smoothing and z_loss. integer: whether they have a bias. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = linear_cross_entropy(
        tape, in[0], in[1], c->integer[0] ? in[2] : NULL,
        (LossShape){.cap = (float)c->real[0], .smoothing = (float)c->real[1], .z_loss = (float)c->real[2]});
}

static double dot(const double *x, const double *y, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t N = batch->B * batch->T, h = c->input[0].cols, V = c->input[1].rows;
    double logits[V];
    for (int64_t n = 0; n < N; n++) {
        double maximum = -INFINITY, sum = 0, mean = 0;
        for (int64_t v = 0; v < V; v++) {
            logits[v] = dot(in[0] + n * h, in[1] + v * h, h) + (c->integer[0] ? in[2][v] : 0);
            if (c->real[0] > 0) logits[v] = c->real[0] * tanh(logits[v] / c->real[0]);
            maximum = fmax(maximum, logits[v]);
            mean += logits[v] / (double)V;
        }
        for (int64_t v = 0; v < V; v++) sum += exp(logits[v] - maximum);
        const double z = maximum + log(sum), s = c->real[1];
        out[0][n] = batch->labels[n] < 0 ? 0 : z - (1 - s) * logits[batch->labels[n]] - s * mean + c->real[2] * z * z;
    }
}

#define X(columns)                                                                                                     \
    { .name = "x", .cols = columns }
#define WEIGHT(rows_, columns)                                                                                         \
    { .name = "weight", .rows = rows_, .cols = columns, .parameter = true }

/* clang-format off */
const OpTest linear_cross_entropy_test = {.name = "linear_cross_entropy", .plain_sum = true, .build = build, .naive = naive,
                                          .cases = {
    {.name = "lengths", .B = 1, .vocabulary = 24, .input = {X(16), WEIGHT(24, 16)}},
    {.name = "two words", .B = 2, .T = 7, .vocabulary = 2, .input = {X(5), WEIGHT(2, 5)}},
    {.name = "large logits", .B = 1, .T = 20, .vocabulary = 33, .input = {{.name = "x", .cols = 8, .low = -20, .high = 20},
                                                                      WEIGHT(33, 8)}},
    {.name = "several chunks, also on a GPU", .B = 7, .T = 600, .vocabulary = 10, .input = {X(4), WEIGHT(10, 4)}},
    {.name = "capped", .B = 1, .vocabulary = 24, .real = {2.5}, .input = {X(16), WEIGHT(24, 16)}},
    {.name = "large logits, capped", .B = 1, .T = 20, .vocabulary = 33, .real = {30},
     .input = {{.name = "x", .cols = 8, .low = -20, .high = 20}, WEIGHT(33, 8)}},
    {.name = "bias", .B = 1, .vocabulary = 33, .integer = {1},
     .input = {X(16), WEIGHT(33, 16), {.name = "bias", .rows = 1, .cols = 33, .parameter = true}}},
    {.name = "bias, capped, several chunks", .B = 3, .T = 600, .vocabulary = 10, .integer = {1}, .real = {2.5},
     .input = {X(4), WEIGHT(10, 4), {.name = "bias", .rows = 1, .cols = 10, .parameter = true}}},
    {.name = "label smoothing", .B = 1, .vocabulary = 33, .real = {0, 0.1}, .input = {X(16), WEIGHT(33, 16)}},
    {.name = "z-loss", .B = 1, .vocabulary = 24, .real = {0, 0, 0.05}, .input = {X(16), WEIGHT(24, 16)}},
    {.name = "smoothing and z-loss, capped, bias", .B = 2, .T = 65, .vocabulary = 33, .integer = {1},
     .real = {2.5, 0.3, 0.01},
     .input = {X(16), WEIGHT(33, 16), {.name = "bias", .rows = 1, .cols = 33, .parameter = true}}},
    {.name = "packed", .B = 2, .T = 40, .vocabulary = 16, .packed = true, .input = {X(16), WEIGHT(16, 16)}},
}};
