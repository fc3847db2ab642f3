/* cpu_product.h by a CBLAS. */
#ifndef FLAME_ONEDNN
#include <cblas.h>
#include <stdlib.h>
#ifdef FLAME_BLIS
#include <blis.h>
#include <stdio.h>
#endif

#include "base/memory.h"
#include "core/cpu_product.h"

void cpu_product_reserve(int count) { (void)count; }

const CpuProduct *cpu_product_prepare(const Gemm *g) { return (void)g, NULL; }

static void multiply_fp32(const Gemm *g) {
    cblas_sgemm(CblasRowMajor, g->transpose_a ? CblasTrans : CblasNoTrans, g->transpose_b ? CblasTrans : CblasNoTrans,
                (int)g->m, (int)g->n, (int)g->k, 1.0f, g->a, (int)g->lda, g->b, (int)g->ldb,
                g->accumulate ? 1.0f : 0.0f, g->c, (int)g->ldc);
}

/* A copy of a matrix in fp32, without gaps between its rows. The caller frees it. */
static float *widened(const bf16 *from, int64_t rows, int64_t cols, int64_t stride) {
    float *to = memory_take(rows * cols * (int64_t)sizeof *to, "an operand of a matrix product in fp32",
                            "Lower training.batch_size or training.seq_len");
    for (int64_t row = 0; row < rows; row++)
        for (int64_t col = 0; col < cols; col++) to[row * cols + col] = bf16_to_float(from[row * stride + col]);
    return to;
}

/* CBLAS has no bf16: operands are widened to fp32, which is exact, and C is rounded. */
void cpu_product_multiply(const CpuProduct *product, const Gemm *g) {
    (void)product;
    Gemm wide = *g;
    float *a = NULL, *b = NULL, *c = NULL;
    if (g->type == BF16) {
        wide.lda = g->transpose_a ? g->m : g->k;
        wide.ldb = g->transpose_b ? g->k : g->n;
        wide.a = a = widened(g->a, g->transpose_a ? g->k : g->m, wide.lda, g->lda);
        wide.b = b = widened(g->b, g->transpose_b ? g->n : g->k, wide.ldb, g->ldb);
    }
    if (g->c_type == BF16) {
        wide.ldc = g->n;
        wide.c = c = widened(g->c, g->m, g->n, g->ldc);
    }
    multiply_fp32(&wide);
    for (int64_t i = 0; c && i < g->m * g->n; i++) ((bf16 *)g->c)[i / g->n * g->ldc + i % g->n] = float_to_bf16(c[i]);
    free(a);
    free(b);
    free(c);
}

bool cpu_product_supports(DType type) { return type == F32 || type == BF16; }

const char *cpu_product_library(void) {
#ifdef FLAME_BLIS
    static char text[64];
    snprintf(text, sizeof text, "BLIS %s", bli_info_get_version_str());
    return text;
#else
    return openblas_get_config();
#endif
}

#endif
