#include "core/own_product.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"

/* The innermost product makes ROWS x COLS sums, which with eight lanes fill twelve of a processor's sixteen registers.
 * DEPTH of its ROWS + COLS operands stay in the first cache. */
enum { LANES = 8, ROWS = 6, VECTORS = 2, COLS = VECTORS * LANES, DEPTH = 256 };

typedef float Lanes __attribute__((vector_size(LANES * sizeof(float)), may_alias));

/* An operand seen as `count` lines (rows of op(A) or columns of op(B)) of `depth` numbers. */
typedef struct Lines {
    const void *data;
    DType type;
    int64_t count, stride, step; /* distance between lines, and between the numbers of a line */
} Lines;

static int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

static float number_at(const void *data, DType type, int64_t i) {
    return type == BF16 ? bf16_to_float(((const bf16 *)data)[i]) : ((const float *)data)[i];
}

/* Numbers [from, from + depth) of all lines as fp32, in panels of `width` lines whose numbers alternate; zeros beyond
 * the last line. `type` is the lines', as a constant. */
static inline void pack_type(float *to, const Lines *lines, DType type, int64_t width, int64_t from, int64_t depth) {
    for (int64_t first = 0; first < lines->count; first += width) {
        const int64_t there = lines->count - first < width ? lines->count - first : width;
        const int64_t at = first * lines->stride + from * lines->step;
        for (int64_t k = 0; k < depth; k++, to += width) {
            for (int64_t i = 0; i < there; i++)
                to[i] = number_at(lines->data, type, at + i * lines->stride + k * lines->step);
            for (int64_t i = there; i < width; i++) to[i] = 0;
        }
    }
}

static void pack(float *to, const Lines *lines, int64_t width, int64_t from, int64_t depth) {
    if (lines->type == BF16)
        pack_type(to, lines, BF16, width, from, depth);
    else
        pack_type(to, lines, F32, width, from, depth);
}

/* sums[ROWS][VECTORS] += the product of a panel of A and one of B. */
static void multiply_panels(const float *a, const Lanes *b, int64_t depth, Lanes *sums) {
    Lanes s[ROWS][VECTORS] = {0};
    for (int64_t k = 0; k < depth; k++, a += ROWS, b += VECTORS)
#pragma GCC unroll 6
        for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
            for (int j = 0; j < VECTORS; j++) s[i][j] += a[i] * b[j];
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < VECTORS; j++) sums[i * VECTORS + j] += s[i][j];
}

static void store(const Gemm *g, int64_t row, int64_t column, const float *sum) {
    for (int64_t i = 0; i < ROWS && row + i < g->m; i++)
        for (int64_t j = 0; j < COLS && column + j < g->n; j++) {
            const int64_t at = (row + i) * g->ldc + column + j;
            const float value = sum[i * COLS + j] + (g->accumulate ? number_at(g->c, g->c_type, at) : 0);
            if (g->c_type == BF16)
                ((bf16 *)g->c)[at] = float_to_bf16(value);
            else
                ((float *)g->c)[at] = value;
        }
}

/* This thread's memory for packed operands and sums. */
static float *work_memory(int64_t numbers) {
    static _Thread_local float *memory;
    static _Thread_local int64_t size;
    if (numbers > size) {
        free(memory);
        size = round_up(numbers, 1024);
        memory = aligned_alloc(64, (size_t)size * sizeof *memory);
        CHECK(memory, "out of memory: a matrix product needs %lld bytes", (long long)size * 4);
    }
    return memory;
}

void own_product(const Gemm *g) {
    const int64_t rows = round_up(g->m, ROWS), cols = round_up(g->n, COLS);
    const Lines a = {g->a, g->type, g->m, g->transpose_a ? 1 : g->lda, g->transpose_a ? g->lda : 1};
    const Lines b = {g->b, g->type, g->n, g->transpose_b ? g->ldb : 1, g->transpose_b ? 1 : g->ldb};
    float *sums = work_memory(rows * cols + (rows + cols) * DEPTH);
    float *packed_a = sums + rows * cols, *packed_b = packed_a + rows * DEPTH;
    memset(sums, 0, (size_t)(rows * cols) * sizeof *sums);
    for (int64_t from = 0; from < g->k; from += DEPTH) {
        const int64_t depth = g->k - from < DEPTH ? g->k - from : DEPTH;
        pack(packed_a, &a, ROWS, from, depth);
        pack(packed_b, &b, COLS, from, depth);
        for (int64_t j = 0; j < cols; j += COLS)
            for (int64_t i = 0; i < rows; i += ROWS)
                multiply_panels(packed_a + i * depth, (const Lanes *)(packed_b + j * depth), depth,
                                (Lanes *)(sums + j * rows + i * COLS));
    }
    for (int64_t j = 0; j < cols; j += COLS)
        for (int64_t i = 0; i < rows; i += ROWS) store(g, i, j, sums + j * rows + i * COLS);
}
