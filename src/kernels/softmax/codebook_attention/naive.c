#include <math.h>
#include <stdlib.h>

#include "kernels/ops.h"
#include "ops/op_test.h"

/* Full softmax attention, in which the keys before the window are replaced by their codes. integer: heads, block,
 * window. The keys, and the keys from which codes are found, are two inputs here, and codes are constants. */
enum { HEADS, BLOCK, WINDOW };
enum { Q, K, V, RELATIVE, CODED, C_SUM, C_COUNT };

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    Tensor *index, *error, *codes;
    nearest_codes(tape, in[CODED], in[C_SUM], in[C_COUNT], c->integer[HEADS], &index, &error, &codes);
    const CodebookAttentionShape shape = {c->integer[HEADS], c->integer[BLOCK], c->integer[WINDOW], 0.5f};
    out[0] = codebook_attention(tape, in[Q], in[K], in[V], in[RELATIVE], index, codes, shape);
}

static double dot(const double *x, const double *y, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

/* Sets `code` to the code nearest to a key. */
static void find_code(const double *key, const double *sum, const double *count, int64_t codes, int64_t size,
                      double *code) {
    double least = INFINITY;
    for (int64_t s = 0; s < codes; s++) {
        double distance = 0;
        for (int64_t i = 0; i < size; i++) distance += pow(key[i] - sum[s * size + i] / fmax(count[s], 0.01), 2);
        if (distance >= least) continue;
        least = distance;
        for (int64_t i = 0; i < size; i++) code[i] = sum[s * size + i] / fmax(count[s], 0.01);
    }
}

static void attend(const OpCase *c, double *const in[], const double *codes, int64_t n, int64_t position, int64_t head,
                   double *out) {
    const int64_t heads = c->integer[HEADS], size = c->input[Q].cols / heads, value_size = c->input[V].cols / heads;
    const int64_t distances = c->input[RELATIVE].cols / heads;
    const int64_t first = n - position % c->integer[BLOCK] - c->integer[WINDOW];
    double score[position + 1], maximum = -INFINITY, sum = 0;
    for (int64_t j = n - position; j <= n; j++) {
        const double *key = (j < first ? codes : in[K]) + (j * heads + head) * size;
        double *s = &score[j - n + position];
        *s = 0.5 * dot(in[Q] + (n * heads + head) * size, key, size);
        if (j >= first && n - j <= c->integer[WINDOW]) *s += in[RELATIVE][(n * heads + head) * distances + n - j];
        maximum = fmax(maximum, *s);
    }
    for (int64_t i = 0; i < value_size; i++) out[i] = 0;
    for (int64_t j = 0; j <= position; j++) sum += exp(score[j] - maximum);
    for (int64_t j = 0; j <= position; j++)
        for (int64_t i = 0; i < value_size; i++)
            out[i] += exp(score[j] - maximum) / sum * in[V][((n - position + j) * heads + head) * value_size + i];
}

static void naive(const OpCase *c, const Batch *batch, double *const in[], double *const out[]) {
    const int64_t heads = c->integer[HEADS], size = c->input[Q].cols / heads, value_size = c->input[V].cols / heads;
    const int64_t N = batch->B * batch->T, count = c->input[C_COUNT].cols;
    double *codes = malloc((size_t)(N * heads * size) * sizeof *codes);
    for (int64_t i = 0; i < N * heads; i++)
        find_code(in[CODED] + i * size, in[C_SUM] + i % heads * count * size, in[C_COUNT] + i % heads * count, count,
                  size, codes + i * size);
    for (int64_t i = 0; i < N * heads; i++)
        attend(c, in, codes, i / heads, batch->position[i / heads], i % heads, out[0] + i * value_size);
    free(codes);
}

#define INPUTS_OF(heads, size, value_size, distances, codes)                                                           \
    {.name = "q", .cols = (heads) * (size)}, {.name = "k", .cols = (heads) * (size)},                                  \
        {.name = "v", .cols = (heads) * (value_size)}, {.name = "relative", .cols = (heads) * (distances)},            \
        {.name = "coded", .cols = (heads) * (size), .constant = true},                                                 \
        {.name = "c_sum", .rows = heads, .cols = (codes) * (size), .parameter = true, .constant = true}, {             \
        .name = "c_count", .rows = heads, .cols = codes, .parameter = true, .constant = true, .low = 1, .high = 4,     \
        .either = true                                                                                                 \
    }

const OpTest codebook_attention_test =
    {.name = "codebook_attention",
     .build = build,
     .naive = naive,
     .cases = {
         {.name = "lengths", .B = 1, .integer = {1, 16, 16}, .input = {INPUTS_OF(1, 16, 32, 17, 8)}},
         {.name = "two heads", .B = 2, .T = 100, .integer = {2, 16, 16}, .input = {INPUTS_OF(2, 16, 32, 24, 8)}},
         {.name = "one code", .B = 1, .T = 70, .integer = {1, 8, 4}, .input = {INPUTS_OF(1, 16, 16, 5, 1)}},
         {.name = "no window", .B = 1, .T = 70, .integer = {1, 16, 0}, .input = {INPUTS_OF(1, 16, 16, 1, 8)}},
         {.name = "blocks of one", .B = 1, .T = 70, .integer = {1, 1, 7}, .input = {INPUTS_OF(1, 16, 16, 8, 8)}},
         {.name = "window of one, odd blocks",
          .B = 2,
          .T = 100,
          .integer = {1, 13, 1},
          .input = {INPUTS_OF(1, 16, 16, 8, 5)}},
         {.name = "window longer than blocks",
          .B = 1,
          .T = 150,
          .integer = {1, 10, 35},
          .input = {INPUTS_OF(1, 16, 24, 40, 8)}},
         {.name = "more codes than tokens",
          .B = 1,
          .T = 70,
          .integer = {1, 16, 16},
          .input = {INPUTS_OF(1, 16, 16, 17, 200)}},
         {.name = "blocks of 64", .B = 1, .T = 300, .integer = {1, 64, 64}, .input = {INPUTS_OF(1, 32, 64, 72, 70)}},
         {.name = "wide values", .B = 1, .T = 90, .integer = {1, 32, 16}, .input = {INPUTS_OF(1, 40, 200, 17, 20)}},
         {.name = "odd head of 20, values of 72",
          .B = 1,
          .T = 90,
          .integer = {2, 24, 24},
          .input = {INPUTS_OF(2, 20, 72, 25, 20)}},
         {.name = "head of 128", .B = 1, .T = 90, .integer = {1, 32, 32}, .input = {INPUTS_OF(1, 128, 160, 40, 70)}},
         {.name = "head of 200", .B = 1, .T = 70, .integer = {1, 16, 16}, .input = {INPUTS_OF(1, 200, 40, 17, 9)}},
         {.name = "packed", .B = 2, .packed = true, .integer = {2, 8, 8}, .input = {INPUTS_OF(2, 16, 16, 9, 6)}},
         {.name = "packed, window of two blocks",
          .B = 2,
          .T = 200,
          .packed = true,
          .integer = {1, 7, 14},
          .input = {INPUTS_OF(1, 16, 16, 16, 6)}},
         {.name = "packed, no window",
          .B = 2,
          .T = 200,
          .packed = true,
          .integer = {1, 24, 0},
          .input = {INPUTS_OF(1, 16, 72, 1, 6)}},
         {.name = "steep",
          .B = 1,
          .T = 130,
          .integer = {1, 16, 16},
          .input =
              {{.name = "q", .cols = 32, .low = -12, .high = 12},
               {.name = "k", .cols = 32, .low = -4, .high = 4},
               {.name = "v", .cols = 32},
               {.name = "relative", .cols = 17, .low = -20, .high = 20},
               {.name = "coded", .cols = 32, .constant = true},
               {.name = "c_sum", .rows = 1, .cols = 8 * 32, .parameter = true, .constant = true, .low = -4, .high = 4},
               {.name = "c_count",
                .rows = 1,
                .cols = 8,
                .parameter = true,
                .constant = true,
                .low = 1,
                .high = 4,
                .either = true}}},
     }};
