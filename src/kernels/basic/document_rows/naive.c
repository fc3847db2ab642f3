#include "kernels/ops.h"
#include "ops/op_test.h"

/* integer: mean. */
static void build_summary(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    out[0] = document_summary(tape, in[0], c->integer[0] != 0);
}

static void naive_summary(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols, T = batch->T;
    for (int64_t n = 0; n < batch->B * T; n++)
        for (int64_t i = 0; i < cols; i++) {
            double sum = 0, last = 0, count = 0;
            for (int64_t m = n / T * T; m < (n / T + 1) * T; m++) {
                if (batch->segment[m] != batch->segment[n]) continue;
                last = in[0][m * cols + i];
                sum += last;
                count++;
            }
            out[0][n * cols + i] = c->integer[0] ? sum / count : last;
        }
}

#define X(columns)                                                                                                     \
    {                                                                                                                  \
        { .name = "x", .cols = columns }                                                                               \
    }

const OpTest document_summary_test = {
    .name = "document_summary",
    .build = build_summary,
    .naive = naive_summary,
    .cases =
        {
            {.name = "last", .B = 2, .input = X(40)},
            {.name = "last, packed", .B = 3, .packed = true, .input = X(17)},
            {.name = "last, one token", .B = 3, .T = 1, .input = X(520)},
            {.name = "mean", .B = 2, .integer = {1}, .input = X(40)},
            {.name = "mean, packed", .B = 3, .packed = true, .integer = {1}, .input = X(17)},
            {.name = "mean, wide", .B = 2, .T = 33, .integer = {1}, .input = X(1032)},
        },
};

static void build_reverse(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    out[0] = reverse(tape, in[0]);
}

static void naive_reverse(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t cols = c->input[0].cols, T = batch->T;
    for (int64_t n = 0; n < batch->B * T; n++) {
        int64_t last = n;
        while (last + 1 < (n / T + 1) * T && batch->segment[last + 1] == batch->segment[n]) last++;
        for (int64_t i = 0; i < cols; i++) out[0][n * cols + i] = in[0][(last - batch->position[n]) * cols + i];
    }
}

const OpTest reverse_test = {
    .name = "reverse",
    .build = build_reverse,
    .naive = naive_reverse,
    .cases =
        {
            {.name = "lengths", .B = 2, .input = {{.name = "x", .cols = 40}}},
            {.name = "packed", .B = 3, .packed = true, .input = {{.name = "x", .cols = 17}}},
            {.name = "wide", .B = 2, .T = 33, .input = {{.name = "x", .cols = 1032}}},
        },
};
