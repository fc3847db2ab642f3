#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: whether the sum is wanted, and the group size. real: eps. A fourth input, if there is one, is the
 * residual. */
enum { WANTS_SUM, GROUP };

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    Tensor *residual = c->input[3].cols ? in[3] : NULL;
    out[0] = layer_norm(tape, in[0], residual, in[1], in[2], c->integer[GROUP], (float)c->real[0],
                        c->integer[WANTS_SUM] ? &out[1] : NULL);
}

static void norm_group(const OpCase *c, const double *s, const double *weight, const double *bias, double *y) {
    const int64_t cols = c->integer[GROUP];
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < cols; i++) mean += s[i] / (double)cols;
    for (int64_t i = 0; i < cols; i++) variance += (s[i] - mean) * (s[i] - mean) / (double)cols;
    const double deviation = sqrt(variance + (double)(float)c->real[0]);
    for (int64_t i = 0; i < cols; i++) y[i] = weight[i] * (s[i] - mean) / deviation + bias[i];
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols, N = batch->B * batch->T;
    double s[cols];
    for (int64_t n = 0; n < N; n++) {
        for (int64_t i = 0; i < cols; i++) {
            s[i] = in[0][n * cols + i] + (c->input[3].cols ? in[3][n * cols + i] : 0);
            if (c->integer[WANTS_SUM]) out[1][n * cols + i] = s[i];
        }
        for (int64_t i = 0; i < cols; i += c->integer[GROUP])
            norm_group(c, s + i, in[1] + i % c->input[1].cols, in[2] + i % c->input[1].cols, out[0] + n * cols + i);
    }
}

#define INPUTS(columns) {.name = "x", .cols = columns}, PARAMETERS(columns)
#define PARAMETERS(columns)                                                                                            \
    {.name = "weight", .rows = 1, .cols = columns, .parameter = true}, {                                               \
        .name = "bias", .rows = 1, .cols = columns, .parameter = true                                                  \
    }
#define RESIDUAL(columns)                                                                                              \
    { .name = "residual", .cols = columns }

const OpTest layer_norm_test = {
    .name = "layer_norm",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "plain", .B = 2, .integer = {0, 40}, .real = {1e-5}, .input = {INPUTS(40)}},
            {.name = "residual and sum",
             .B = 1,
             .integer = {1, 72},
             .real = {1e-5},
             .input = {INPUTS(72), RESIDUAL(72)}},
            {.name = "residual only",
             .B = 1,
             .T = 33,
             .integer = {0, 24},
             .real = {1e-5},
             .input = {INPUTS(24), RESIDUAL(24)}},
            {.name = "sum is x", .B = 1, .T = 33, .integer = {1, 24}, .real = {1e-5}, .input = {INPUTS(24)}},
            {.name = "heads", .B = 2, .T = 65, .integer = {0, 16}, .real = {1e-3}, .input = {INPUTS(48)}},
            {.name = "heads of 64", .B = 1, .T = 130, .integer = {0, 64}, .real = {6.4e-4}, .input = {INPUTS(192)}},
            {.name = "odd heads, residual and sum",
             .B = 1,
             .T = 65,
             .integer = {1, 17},
             .real = {1e-5},
             .input = {INPUTS(51), RESIDUAL(51)}},
            {.name = "more heads than a program has", /* of the CPU */
             .B = 1,
             .T = 3,
             .integer = {0, 1000},
             .real = {1e-5},
             .input = {INPUTS(5000)}},
            {.name = "far from zero", /* computing the variance in one pass would lose it */
             .B = 1,
             .T = 15,
             .integer = {0, 63},
             .real = {1e-5},
             .input = {{.name = "x", .cols = 63, .low = 9, .high = 11}, PARAMETERS(63)}},
            {.name = "a vector a lane",
             .B = 1,
             .T = 3,
             .integer = {0, 256},
             .real = {1e-5},
             .input = {INPUTS(256), RESIDUAL(256)}},
            {.name = "two vectors a lane", .B = 1, .T = 3, .integer = {1, 512}, .real = {1e-5}, .input = {INPUTS(512)}},
            {.name = "four vectors a lane",
             .B = 1,
             .T = 3,
             .integer = {1, 1024},
             .real = {1e-5},
             .input = {INPUTS(1024), RESIDUAL(1024)}},
            {.name = "eight vectors a lane",
             .B = 1,
             .T = 2,
             .integer = {1, 2048},
             .real = {1e-5},
             .input = {INPUTS(2048), RESIDUAL(2048)}},
            {.name = "wide rows",
             .B = 1,
             .T = 2,
             .integer = {1, 4096},
             .real = {1e-5},
             .input = {INPUTS(4096), RESIDUAL(4096)}},
            {.name = "wide odd rows", .B = 1, .T = 2, .integer = {0, 8200}, .real = {1e-5}, .input = {INPUTS(8200)}},
            {.name = "large eps",
             .B = 1,
             .T = 15,
             .integer = {1, 33},
             .real = {0.7},
             .input = {INPUTS(33), RESIDUAL(33)}},
            {.name = "one column", .B = 1, .T = 3, .integer = {0, 1}, .real = {0.1}, .input = {INPUTS(1)}},
            {.name = "heads that share weights",
             .B = 1,
             .integer = {0, 16},
             .real = {1e-5},
             .input = {{.name = "x", .cols = 80}, PARAMETERS(16)}},
            {.name = "odd heads that share weights",
             .B = 2,
             .T = 40,
             .integer = {1, 17},
             .real = {1e-5},
             .input = {{.name = "x", .cols = 51}, PARAMETERS(17), RESIDUAL(51)}},
            {.name = "packed",
             .B = 2,
             .T = 40,
             .packed = true,
             .integer = {1, 24},
             .real = {1e-5},
             .input = {INPUTS(24), RESIDUAL(24)}},
        },
};

static void build_unbiased(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = layer_norm_unbiased(tape, in[0], in[1], (float)c->real[1], c->integer[GROUP], (float)c->real[0]);
}

static void naive_unbiased(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols, group = c->integer[GROUP];
    double weight[group], bias[group];
    for (int64_t i = 0; i < batch->B * batch->T * cols; i += group) {
        for (int64_t j = 0; j < group; j++) {
            weight[j] = in[1][(i + j) % cols] + c->real[1];
            bias[j] = 0;
        }
        norm_group(c, in[0] + i, weight, bias, out[0] + i);
    }
}

#define CASE_UNBIASED(case_name, sequences, tokens, documents, columns, group, offset)                                 \
    {                                                                                                                  \
        .name = case_name, .B = sequences, .T = tokens, .packed = documents, .integer = {0, group},                    \
        .real = {1e-5, offset}, .input = {                                                                             \
            {.name = "x", .cols = columns},                                                                            \
            {.name = "weight", .rows = 1, .cols = columns, .parameter = true},                                         \
        }                                                                                                              \
    }

const OpTest layer_norm_unbiased_test = {.name = "layer_norm_unbiased",
                                         .build = build_unbiased,
                                         .naive = naive_unbiased,
                                         .cases = {
                                             CASE_UNBIASED("plain", 2, 0, false, 40, 40, 0),
                                             CASE_UNBIASED("heads", 2, 65, true, 64, 16, 0),
                                             CASE_UNBIASED("heads, 1 + w", 1, 65, false, 51, 17, 1),
                                             CASE_UNBIASED("wide, 1 + w", 1, 5, false, 2064, 2064, 1),
                                         }};
