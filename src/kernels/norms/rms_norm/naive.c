#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: whether there is a residual, whether the sum is wanted, and the group size. real: eps. */
enum { HAS_RESIDUAL, WANTS_SUM, GROUP };

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    Tensor *residual = c->integer[HAS_RESIDUAL] ? in[2] : NULL;
    out[0] = rms_norm(tape, in[0], residual, in[1], (float)c->real[0], c->integer[WANTS_SUM] ? &out[1] : NULL);
}

static void norm_group(const OpCase *c, const double *s, const double *weight, double *y) {
    const int64_t cols = c->integer[GROUP];
    double square = 0;
    for (int64_t i = 0; i < cols; i++) square += s[i] * s[i];
    const double rms = sqrt(square / (double)cols + (double)(float)c->real[0]);
    for (int64_t i = 0; i < cols; i++) y[i] = weight[i] * s[i] / rms;
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols, N = batch->B * batch->T;
    double s[cols];
    for (int64_t n = 0; n < N; n++) {
        for (int64_t i = 0; i < cols; i++) {
            s[i] = in[0][n * cols + i] + (c->integer[HAS_RESIDUAL] ? in[2][n * cols + i] : 0);
            if (c->integer[WANTS_SUM]) out[1][n * cols + i] = s[i];
        }
        for (int64_t i = 0; i < cols; i += c->integer[GROUP]) norm_group(c, s + i, in[1], out[0] + n * cols + i);
    }
}

#define X(columns)                                                                                                     \
    { .name = "x", .cols = columns }
#define RESIDUAL(columns)                                                                                              \
    { .name = "residual", .cols = columns }
#define GATE(columns)                                                                                                  \
    { .name = "gate", .cols = columns }
#define WEIGHT(columns)                                                                                                \
    { .name = "weight", .rows = 1, .cols = columns, .parameter = true }

const OpTest rms_norm_test = {
    .name = "rms_norm",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "plain", .B = 2, .integer = {0, 0, 40}, .real = {1e-6}, .input = {X(40), WEIGHT(40)}},
            {.name = "residual and sum",
             .B = 1,
             .integer = {1, 1, 72},
             .real = {1e-6},
             .input = {X(72), WEIGHT(72), RESIDUAL(72)}},
            {.name = "residual only",
             .B = 1,
             .T = 33,
             .integer = {1, 0, 24},
             .real = {1e-5},
             .input = {X(24), WEIGHT(24), RESIDUAL(24)}},
            {.name = "sum is x", .B = 1, .T = 33, .integer = {0, 1, 24}, .real = {1e-5}, .input = {X(24), WEIGHT(24)}},
            {.name = "heads", .B = 2, .T = 65, .integer = {0, 0, 16}, .real = {1e-5}, .input = {X(48), WEIGHT(16)}},
            {.name = "lanes with a vector",
             .B = 1,
             .T = 5,
             .integer = {0, 0, 64},
             .real = {1e-5},
             .input = {X(192), WEIGHT(64)}},
            {.name = "a vector a lane",
             .B = 1,
             .T = 3,
             .integer = {1, 0, 256},
             .real = {1e-5},
             .input = {X(256), WEIGHT(256), RESIDUAL(256)}},
            {.name = "two vectors a lane",
             .B = 1,
             .T = 3,
             .integer = {0, 1, 512},
             .real = {1e-5},
             .input = {X(512), WEIGHT(512)}},
            {.name = "four vectors a lane",
             .B = 1,
             .T = 3,
             .integer = {1, 1, 1024},
             .real = {1e-6},
             .input = {X(1024), WEIGHT(1024), RESIDUAL(1024)}},
            {.name = "eight vectors a lane",
             .B = 1,
             .T = 2,
             .integer = {1, 1, 2048},
             .real = {1e-6},
             .input = {X(2048), WEIGHT(2048), RESIDUAL(2048)}},
            {.name = "large eps",
             .B = 1,
             .T = 15,
             .integer = {1, 1, 33},
             .real = {0.7},
             .input = {X(33), WEIGHT(33), RESIDUAL(33)}},
            {.name = "one column", .B = 1, .T = 3, .integer = {0, 0, 1}, .real = {0.1}, .input = {X(1), WEIGHT(1)}},
            {.name = "wide rows",
             .B = 1,
             .T = 2,
             .integer = {1, 1, 5000},
             .real = {1e-6},
             .input = {X(5000), WEIGHT(5000), RESIDUAL(5000)}},
            {.name = "packed",
             .B = 2,
             .T = 40,
             .packed = true,
             .integer = {1, 1, 24},
             .real = {1e-6},
             .input = {X(24), WEIGHT(24), RESIDUAL(24)}},
        },
};

/* integer: whether there is a gate, which is then the last input, and the group size (at GROUP). The weight is as wide
 * as x. */
enum { HAS_GATE };

static void build_groups(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    Tensor *gate = c->integer[HAS_GATE] ? in[2] : NULL;
    out[0] = rms_norm_groups(tape, in[0], gate, in[1], c->integer[GROUP], (float)c->real[0]);
}

static void naive_groups(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols;
    double s[cols];
    for (int64_t n = 0; n < batch->B * batch->T; n++) {
        for (int64_t i = 0; i < cols; i++) {
            const double z = c->integer[HAS_GATE] ? in[2][n * cols + i] : 0;
            s[i] = in[0][n * cols + i] * (c->integer[HAS_GATE] ? z / (1 + exp(-z)) : 1);
        }
        for (int64_t i = 0; i < cols; i += c->integer[GROUP]) norm_group(c, s + i, in[1] + i, out[0] + n * cols + i);
    }
}

const OpTest rms_norm_groups_test = {
    .name = "rms_norm_groups",
    .build = build_groups,
    .naive = naive_groups,
    .cases =
        {
            {.name = "one group", .B = 1, .T = 33, .integer = {0, 0, 24}, .real = {1e-5}, .input = {X(24), WEIGHT(24)}},
            {.name = "groups", .B = 2, .integer = {0, 0, 17}, .real = {1e-5}, .input = {X(51), WEIGHT(51)}},
            {.name = "gate", .B = 2, .integer = {1, 0, 24}, .real = {1e-5}, .input = {X(48), WEIGHT(48), GATE(48)}},
            {.name = "gate, two vectors a lane",
             .B = 1,
             .T = 3,
             .integer = {1, 0, 512},
             .real = {1e-5},
             .input = {X(1024), WEIGHT(1024), GATE(1024)}},
            {.name = "gate, rows of a program",
             .B = 1,
             .T = 9,
             .integer = {1, 0, 2048},
             .real = {1e-5},
             .input = {X(2048), WEIGHT(2048), GATE(2048)}},
        },
};
