#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: size of a head, and whether the features are Taylor's. */
enum { SIZE, TAYLOR };

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = quadratic_features(tape, in[0], c->integer[SIZE], c->integer[TAYLOR] != 0);
}

/* Returns the number of features of a head. */
static int64_t features_of(const OpCase *c, const double *x, double *phi) {
    const int64_t d = c->integer[SIZE];
    const double root = sqrt((double)d);
    int64_t used = 0;
    for (int64_t distance = 0; distance <= d / 2; distance++)
        for (int64_t j = 0; j < (2 * distance == d ? d / 2 : d); j++) {
            const double pair = x[j] * x[(j + distance) % d] * (distance > 0 ? sqrt(2) : 1);
            phi[used++] = c->integer[TAYLOR] ? pair / (sqrt(2) * root) : pair;
        }
    for (int64_t j = 0; c->integer[TAYLOR] && j < d; j++) phi[used++] = x[j] / sqrt(root);
    if (c->integer[TAYLOR]) phi[used++] = 1;
    while (used % 8 > 0) phi[used++] = 0;
    return used;
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t d = c->integer[SIZE], heads = batch->B * batch->T * c->input[0].cols / d;
    double *phi = out[0];
    for (int64_t i = 0; i < heads; i++) phi += features_of(c, in[0] + i * d, phi);
}

#define CASE(case_name, sequences, tokens, documents, heads, size, taylor)                                             \
    {                                                                                                                  \
        .name = case_name, .B = sequences, .T = tokens, .packed = documents, .integer = {size, taylor}, .input = {     \
            {.name = "x", .cols = (heads) * (size)},                                                                   \
        }                                                                                                              \
    }

const OpTest quadratic_features_test = {.name = "quadratic_features",
                                        .build = build,
                                        .naive = naive,
                                        .cases = {
                                            CASE("squares", 1, 0, false, 3, 16, false),
                                            CASE("taylor", 1, 0, false, 3, 16, true),
                                            CASE("packed", 2, 33, true, 2, 16, true),
                                            CASE("size 8", 1, 33, false, 5, 8, true),
                                            CASE("size 32", 1, 33, false, 2, 32, true),
                                            CASE("squares of size 32", 1, 9, false, 1, 32, false),
                                            CASE("size 12", 1, 33, false, 3, 12, true),
                                            CASE("odd size", 1, 33, false, 2, 9, true),
                                            CASE("squares of an odd size", 1, 17, false, 1, 15, false),
                                            CASE("one column", 1, 3, false, 2, 1, true),
                                            CASE("two columns", 1, 3, false, 1, 2, false),
                                        }};
