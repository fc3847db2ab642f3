#include "kernels/ops.h"
#include "ops/op_test.h"

static void build_one(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    out[0] = linear(tape, in[0], in[1]);
}

static void build_heads(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    out[0] = linear_heads(tape, in[0], in[1]);
}

static int weights_of(const OpCase *c) {
    int count = 0;
    while (count + 1 < OP_TEST_INPUTS && c->input[count + 1].cols) count++;
    return count;
}

static void build_group(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    linear_group(tape, in[0], in + 1, weights_of(c), out);
}

/* out[i][n, o] = sum over j of x[n, j] W_i[o, j]. */
static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t N = batch->B * batch->T, cols = c->input[0].cols;
    for (int w = 0; w < weights_of(c); w++) {
        const int64_t rows = c->input[w + 1].rows;
        for (int64_t n = 0; n < N; n++)
            for (int64_t o = 0; o < rows; o++) {
                double sum = 0;
                for (int64_t j = 0; j < cols; j++) sum += in[0][n * cols + j] * in[w + 1][o * cols + j];
                out[w][n * rows + o] = sum;
            }
    }
}

/* out[n, h, o] = sum over j of x[n, h, j] W[o, j]. */
static void naive_heads(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[1].cols, rows = c->input[1].rows, heads = c->input[0].cols / cols;
    for (int64_t n = 0; n < batch->B * batch->T * heads; n++)
        for (int64_t o = 0; o < rows; o++) {
            double sum = 0;
            for (int64_t j = 0; j < cols; j++) sum += in[0][n * cols + j] * in[1][o * cols + j];
            out[0][n * rows + o] = sum;
        }
}

#define X(columns)                                                                                                     \
    { .name = "x", .cols = columns }
#define WEIGHT(rows_, columns)                                                                                         \
    { .name = "weight", .rows = rows_, .cols = columns, .parameter = true }

/* clang-format off */
const OpTest linear_test = {.name = "linear", .build = build_one, .naive = naive, .cases = {
    {.name = "lengths", .B = 1, .input = {X(24), WEIGHT(40, 24)}},
    {.name = "to one column", .B = 2, .T = 5, .input = {X(9), WEIGHT(1, 9)}},
    {.name = "from one column", .B = 2, .T = 5, .input = {X(1), WEIGHT(7, 1)}},
    {.name = "several tiles", .B = 1, .T = 70, .input = {X(130), WEIGHT(70, 130)}},
    {.name = "packed", .B = 2, .T = 40, .packed = true, .input = {X(16), WEIGHT(16, 16)}},
}};

const OpTest linear_heads_test = {.name = "linear_heads", .build = build_heads, .naive = naive_heads, .cases = {
    {.name = "lengths", .B = 1, .input = {X(24), WEIGHT(8, 8)}},
    {.name = "wider", .B = 2, .T = 33, .input = {X(34), WEIGHT(20, 17)}},
    {.name = "packed", .B = 2, .T = 40, .packed = true, .input = {X(16), WEIGHT(3, 4)}},
}};

const OpTest linear_group_test = {.name = "linear_group", .build = build_group, .naive = naive, .cases = {
    {.name = "lengths", .B = 1, .input = {X(24), WEIGHT(40, 24), WEIGHT(8, 24), WEIGHT(16, 24)}},
    {.name = "one", .B = 2, .T = 9, .input = {X(12), WEIGHT(20, 12)}},
    {.name = "uneven", .B = 2, .T = 33, .input = {X(17), WEIGHT(1, 17), WEIGHT(33, 17), WEIGHT(7, 17), WEIGHT(2, 17)}},
    {.name = "packed", .B = 2, .T = 40, .packed = true, .input = {X(16), WEIGHT(16, 16), WEIGHT(24, 16)}},
}};
