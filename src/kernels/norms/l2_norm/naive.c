#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: columns of a group. real: eps. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = l2_norm(tape, in[0], c->integer[0], (float)c->real[0]);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->integer[0], groups = batch->B * batch->T * c->input[0].cols / cols;
    for (int64_t group = 0; group < groups; group++) {
        const double *x = in[0] + group * cols;
        double square = 0;
        for (int64_t i = 0; i < cols; i++) square += x[i] * x[i];
        for (int64_t i = 0; i < cols; i++) out[0][group * cols + i] = x[i] / sqrt(square + c->real[0]);
    }
}

#define X(columns)                                                                                                     \
    {                                                                                                                  \
        { .name = "x", .cols = columns }                                                                               \
    }

const OpTest l2_norm_test = {
    .name = "l2_norm",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "one group", .B = 1, .integer = {40}, .real = {1e-6}, .input = X(40)},
            {.name = "heads", .B = 2, .T = 33, .integer = {16}, .real = {1e-6}, .input = X(64)},
            {.name = "odd heads", .B = 2, .T = 33, .integer = {9}, .real = {1e-6}, .input = X(27)},
            {.name = "lanes with a vector", .B = 1, .T = 5, .integer = {128}, .real = {1e-6}, .input = X(384)},
            {.name = "a vector a lane", .B = 1, .T = 3, .integer = {256}, .real = {1e-6}, .input = X(512)},
            {.name = "two vectors a lane", .B = 1, .T = 3, .integer = {512}, .real = {1e-6}, .input = X(512)},
            {.name = "large eps", .B = 1, .T = 15, .integer = {24}, .real = {10}, .input = X(24)},
            {.name = "small numbers",
             .B = 1,
             .T = 15,
             .integer = {16},
             .real = {1e-6},
             .input = {{.name = "x", .cols = 32, .low = -1e-3, .high = 1e-3}}},
            {.name = "packed", .B = 2, .T = 30, .packed = true, .integer = {8}, .real = {1e-6}, .input = X(16)},
        },
};

/* integer: columns of a group. real: eps. */
static void build_rms(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = rms_norm_plain(tape, in[0], c->integer[0], (float)c->real[0]);
}

static void naive_rms(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->integer[0], groups = batch->B * batch->T * c->input[0].cols / cols;
    for (int64_t group = 0; group < groups; group++) {
        const double *x = in[0] + group * cols;
        double square = 0;
        for (int64_t i = 0; i < cols; i++) square += x[i] * x[i];
        for (int64_t i = 0; i < cols; i++) out[0][group * cols + i] = x[i] / sqrt(square / (double)cols + c->real[0]);
    }
}

const OpTest rms_norm_plain_test = {
    .name = "rms_norm_plain",
    .build = build_rms,
    .naive = naive_rms,
    .cases =
        {
            {.name = "one group", .B = 1, .integer = {40}, .real = {1e-5}, .input = X(40)},
            {.name = "heads", .B = 2, .T = 33, .integer = {16}, .real = {1e-5}, .input = X(64)},
            {.name = "a long group", .B = 1, .T = 5, .integer = {1024}, .real = {1e-5}, .input = X(1024)},
            {.name = "large eps", .B = 1, .T = 15, .integer = {24}, .real = {10}, .input = X(24)},
            {.name = "packed", .B = 2, .T = 30, .packed = true, .integer = {8}, .real = {1e-5}, .input = X(16)},
        },
};
