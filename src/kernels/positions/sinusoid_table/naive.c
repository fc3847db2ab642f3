#include <math.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: rows. The input is there only for its number of columns. */
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = sinusoid_table(tape, c->integer[0], in[0]->cols, 100000);
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    (void)batch, (void)in;
    const int64_t cols = c->input[0].cols, half = cols / 2;
    for (int64_t p = 0; p < c->integer[0]; p++)
        for (int64_t i = 0; i < half; i++) {
            const double angle = (double)p / pow(100000, 2 * (double)i / (double)cols);
            out[0][p * cols + i] = sin(angle);
            out[0][p * cols + half + i] = cos(angle);
        }
}

const OpTest sinusoid_table_test = {
    .name = "sinusoid_table",
    .build = build,
    .naive = naive,
    .cases = {{.name = "one position", .B = 1, .T = 1, .integer = {1}, .input = {{.name = "like", .cols = 24}}},
              {.name = "many", .B = 1, .T = 1, .integer = {1030}, .input = {{.name = "like", .cols = 40}}},
              {.name = "wide", .B = 1, .T = 1, .integer = {17}, .input = {{.name = "like", .cols = 1500}}}}};
