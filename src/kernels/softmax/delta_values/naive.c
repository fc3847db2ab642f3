#include <math.h>
#include <stdlib.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: heads. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = delta_values(tape, in[0], in[1], in[2], in[3], c->integer[0]);
}

/* Computes u of token t, whose document begins at `first`. All pointers are to one head. */
static void correct(const double *q, const double *k, const double *v, double beta, double *u, int64_t first, int64_t t,
                    int64_t D, int64_t stride) {
    for (int64_t i = 0; i < D; i++) u[t * stride + i] = v[t * stride + i];
    double *weight = malloc((size_t)(t - first + 1) * sizeof(double)), maximum = -INFINITY, sum = 0;
    for (int64_t s = first; s < t; s++) {
        double score = 0;
        for (int64_t i = 0; i < D; i++) score += q[t * stride + i] * k[s * stride + i] / sqrt((double)D);
        weight[s - first] = score;
        maximum = fmax(maximum, score);
    }
    for (int64_t s = first; s < t; s++) sum += weight[s - first] = exp(weight[s - first] - maximum);
    for (int64_t s = first; s < t; s++)
        for (int64_t i = 0; i < D; i++) u[t * stride + i] -= beta * weight[s - first] / sum * u[s * stride + i];
    free(weight);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t heads = c->integer[0], cols = c->input[0].cols, D = cols / heads;
    for (int64_t n = 0, first = 0; n < batch->B * batch->T; n++) {
        if (n % batch->T == 0 || batch->segment[n] != batch->segment[n - 1]) first = n;
        for (int64_t h = 0; h < heads; h++)
            correct(in[0] + h * D, in[1] + h * D, in[2] + h * D, in[3][n * heads + h], out[0] + h * D, first, n, D,
                    cols);
    }
}

#define INPUTS(heads, D)                                                                                               \
    {                                                                                                                  \
        {.name = "q", .cols = (heads) * (D)}, {.name = "k", .cols = (heads) * (D)},                                    \
            {.name = "v", .cols = (heads) * (D)}, {                                                                    \
            .name = "beta", .cols = heads                                                                              \
        }                                                                                                              \
    }

const OpTest delta_values_test = {
    .name = "delta_values",
    .build = build,
    .naive = naive,
    .cases =
        {
            {.name = "one head", .B = 1, .integer = {1}, .input = INPUTS(1, 32)},
            {.name = "odd head size", .B = 1, .T = 70, .integer = {2}, .input = INPUTS(2, 20)},
            {.name = "two heads of 64", .B = 2, .T = 130, .integer = {2}, .input = INPUTS(2, 64)},
            {.name = "packed", .B = 2, .packed = true, .integer = {2}, .input = INPUTS(2, 16)},
            {.name = "head of 80", .B = 1, .T = 66, .integer = {1}, .input = INPUTS(1, 80)},
            {.name = "head of 256", .B = 1, .T = 66, .integer = {1}, .input = INPUTS(1, 256)},
            {.name = "head of 200", .B = 1, .T = 130, .integer = {1}, .input = INPUTS(1, 200)},
            {.name = "two parts", .B = 1, .T = 700, .integer = {1}, .input = INPUTS(1, 16)},
            {.name = "two parts, packed", .B = 1, .T = 700, .packed = true, .integer = {1}, .input = INPUTS(1, 16)},
            {.name = "small corrections",
             .B = 1,
             .T = 130,
             .integer = {1},
             .input = {{.name = "q", .cols = 32},
                       {.name = "k", .cols = 32},
                       {.name = "v", .cols = 32},
                       {.name = "beta", .cols = 1, .low = -1e-3, .high = 1e-3}}},
            /* one key has nearly all the weight of a row, so ds is small beside delta and the rounding of u and y */
            {.name = "steep",
             .B = 1,
             .T = 130,
             .integer = {1},
             .input = {{.name = "q", .cols = 32, .low = -20, .high = 20},
                       {.name = "k", .cols = 32, .low = -4, .high = 4},
                       {.name = "v", .cols = 32},
                       {.name = "beta", .cols = 1, .low = 0, .high = 0.9}},
             .gradient_bf16 = 0.025},
        },
};
