#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* real: the cap of the logits (0: none), smoothing, z_loss, the cap of the teacher's logits, and the teacher's share
 * (0: no teacher). integer: whether the logits have a bias, and whether margins are the last output. A teacher has as
 * many inputs as the model; they come after the model's. */
enum { CAP, SMOOTHING, Z_LOSS, TEACHER_CAP, SHARE };
enum { BIASED, MARGINS };

static int margins_at(const OpCase *c) { return c->real[SHARE] > 0 ? 2 : 1; }

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    const bool biased = c->integer[BIASED];
    Tensor *const *teacher_in = in + (biased ? 3 : 2);
    const LossShape shape = {
        .cap = (float)c->real[CAP], .smoothing = (float)c->real[SMOOTHING], .z_loss = (float)c->real[Z_LOSS]};
    const bool taught = c->real[SHARE] > 0;
    LossTeacher teacher = {.cap = (float)c->real[TEACHER_CAP], .share = (float)c->real[SHARE]};
    if (taught) {
        teacher.x = teacher_in[0];
        teacher.weight = teacher_in[1];
        teacher.bias = biased ? teacher_in[2] : NULL;
        teacher.x->constant = true;
        teacher.weight->gradient = NULL;
        if (biased) teacher.bias->gradient = NULL;
    }
    out[0] = linear_cross_entropy(tape, in[0], in[1], biased ? in[2] : NULL, shape, taught ? &teacher : NULL, &out[1],
                                  c->integer[MARGINS] ? &out[margins_at(c)] : NULL);
}

static double dot(const double *x, const double *y, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

/* For one row, computes the logits of a head in[0 .. 2] of h columns, and returns the logarithm of the sum of their
 * exponentials. */
static double logits_of(double *const in[], int64_t n, int64_t h, int64_t V, bool biased, double cap, double *logits) {
    double maximum = -INFINITY, sum = 0;
    for (int64_t v = 0; v < V; v++) {
        logits[v] = dot(in[0] + n * h, in[1] + v * h, h) + (biased ? in[2][v] : 0);
        if (cap > 0) logits[v] = cap * tanh(logits[v] / cap);
        maximum = fmax(maximum, logits[v]);
    }
    for (int64_t v = 0; v < V; v++) sum += exp(logits[v] - maximum);
    return maximum + log(sum);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const bool biased = c->integer[BIASED];
    const int teacher_in = biased ? 3 : 2;
    const int64_t N = batch->B * batch->T, h = c->input[0].cols, V = c->input[1].rows;
    double x[V], y[V];
    for (int64_t n = 0; n < N; n++) {
        const double z = logits_of(in, n, h, V, biased, c->real[CAP], x), s = c->real[SMOOTHING];
        const bool target = batch->labels[n] >= 0;
        double mean = 0, divergence = 0, largest = x[0];
        for (int64_t v = 0; v < V; v++) mean += x[v] / (double)V;
        for (int64_t v = 0; v < V; v++) largest = fmax(largest, x[v]);
        out[0][n] = target ? z - (1 - s) * x[batch->labels[n]] - s * mean + c->real[Z_LOSS] * z * z : 0;
        if (c->integer[MARGINS]) out[margins_at(c)][n] = target ? x[batch->labels[n]] - largest : 0;
        if (c->real[SHARE] == 0) continue;
        const double of_teacher =
            logits_of(in + teacher_in, n, c->input[teacher_in].cols, V, biased, c->real[TEACHER_CAP], y);
        for (int64_t v = 0; v < V; v++) divergence += exp(y[v] - of_teacher) * (y[v] - of_teacher - (x[v] - z));
        out[1][n] = target ? divergence : 0;
    }
}

/* The sum of (1 - share) times the losses and share times the divergences is minimised. */
static double weight(const OpCase *c, int output) {
    if (c->integer[MARGINS] && output == margins_at(c)) return 0;
    return output == 0 ? 1 - c->real[SHARE] : c->real[SHARE];
}

#define X(columns)                                                                                                     \
    { .name = "x", .cols = columns }
#define WEIGHT(rows_, columns)                                                                                         \
    { .name = "weight", .rows = rows_, .cols = columns, .parameter = true }
#define BIAS(columns)                                                                                                  \
    { .name = "bias", .rows = 1, .cols = columns, .parameter = true }
#define TEACHER(rows_, columns)                                                                                        \
    {.name = "teacher", .cols = columns, .constant = true}, {                                                          \
        .name = "teacher's weight", .rows = rows_, .cols = columns, .parameter = true, .constant = true                \
    }
#define TEACHER_BIAS(columns)                                                                                          \
    { .name = "teacher's bias", .rows = 1, .cols = columns, .parameter = true, .constant = true }

/* clang-format off */
const OpTest linear_cross_entropy_test = {.name = "linear_cross_entropy", .plain_sum = true, .weight = weight, .build = build,
                                          .naive = naive,
                                          .cases = {
    {.name = "lengths", .B = 1, .vocabulary = 24, .input = {X(16), WEIGHT(24, 16)}},
    {.name = "two words", .B = 2, .T = 7, .vocabulary = 2, .input = {X(5), WEIGHT(2, 5)}},
    {.name = "large logits", .B = 1, .T = 20, .vocabulary = 33, .input = {{.name = "x", .cols = 8, .low = -20, .high = 20},
                                                                      WEIGHT(33, 8)}},
    {.name = "several chunks, also on a GPU", .B = 7, .T = 600, .vocabulary = 10, .input = {X(4), WEIGHT(10, 4)}},
    {.name = "capped", .B = 1, .vocabulary = 24, .real = {2.5}, .input = {X(16), WEIGHT(24, 16)}},
    {.name = "large logits, capped", .B = 1, .T = 20, .vocabulary = 33, .real = {30},
     .input = {{.name = "x", .cols = 8, .low = -20, .high = 20}, WEIGHT(33, 8)}},
    {.name = "very large logits, capped far", .B = 1, .T = 20, .vocabulary = 33, .real = {100},
     .input = {{.name = "x", .cols = 8, .low = -100, .high = 100}, WEIGHT(33, 8)}},
    {.name = "bias", .B = 1, .vocabulary = 33, .integer = {1},
     .input = {X(16), WEIGHT(33, 16), BIAS(33)}},
    {.name = "bias, capped, several chunks", .B = 3, .T = 600, .vocabulary = 10, .integer = {1}, .real = {2.5},
     .input = {X(4), WEIGHT(10, 4), BIAS(10)}},
    {.name = "label smoothing", .B = 1, .vocabulary = 33, .real = {0, 0.1}, .input = {X(16), WEIGHT(33, 16)}},
    {.name = "z-loss", .B = 1, .vocabulary = 24, .real = {0, 0, 0.05}, .input = {X(16), WEIGHT(24, 16)}},
    {.name = "smoothing and z-loss, capped, bias", .B = 2, .T = 65, .vocabulary = 33, .integer = {1},
     .real = {2.5, 0.3, 0.01},
     .input = {X(16), WEIGHT(33, 16), BIAS(33)}},
    {.name = "teacher", .B = 1, .vocabulary = 33, .real = {[SHARE] = 0.5}, .input = {X(16), WEIGHT(33, 16), TEACHER(33, 24)}},
    {.name = "teacher alone, two words", .B = 2, .T = 7, .vocabulary = 2, .real = {[SHARE] = 1},
     .input = {X(5), WEIGHT(2, 5), TEACHER(2, 3)}},
    {.name = "teacher, large logits", .B = 1, .T = 20, .vocabulary = 33, .real = {[SHARE] = 0.25},
     .input = {{.name = "x", .cols = 8, .low = -20, .high = 20}, WEIGHT(33, 8),
               {.name = "teacher", .cols = 8, .low = -20, .high = 20, .constant = true},
               {.name = "teacher's weight", .rows = 33, .cols = 8, .parameter = true, .constant = true}}},
    {.name = "teacher, several chunks, also on a GPU", .B = 7, .T = 600, .vocabulary = 10, .real = {[SHARE] = 0.5},
     .input = {X(4), WEIGHT(10, 4), TEACHER(10, 7)}},
    {.name = "teacher, smoothing, z-loss, caps, biases", .B = 2, .T = 65, .vocabulary = 33, .integer = {1},
     .real = {2.5, 0.3, 0.01, 3, 0.75}, .input = {X(16), WEIGHT(33, 16), BIAS(33), TEACHER(33, 24), TEACHER_BIAS(33)}},
    {.name = "margins, several chunks", .B = 3, .T = 600, .vocabulary = 10, .integer = {[MARGINS] = 1},
     .input = {X(4), WEIGHT(10, 4)}},
    {.name = "margins, teacher, capped, bias", .B = 2, .T = 65, .vocabulary = 33, .integer = {1, [MARGINS] = 1},
     .real = {2.5, [SHARE] = 0.5}, .input = {X(16), WEIGHT(33, 16), BIAS(33), TEACHER(33, 24), TEACHER_BIAS(33)}},
    {.name = "teacher, packed", .B = 2, .T = 40, .vocabulary = 16, .packed = true, .real = {[SHARE] = 0.5},
     .input = {X(16), WEIGHT(16, 16), TEACHER(16, 16)}},
    {.name = "packed", .B = 2, .T = 40, .vocabulary = 16, .packed = true, .input = {X(16), WEIGHT(16, 16)}},
}};
