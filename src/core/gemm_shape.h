/* The shape of a product (a Gemm without its pointers): the key under which a library's plan for it is cached. */
#ifndef FLAME_CORE_GEMM_SHAPE_H
#define FLAME_CORE_GEMM_SHAPE_H

#include "core/device.h"

static inline bool gemm_shape_equal(const Gemm *x, const Gemm *y) {
    return x->m == y->m && x->n == y->n && x->k == y->k && x->lda == y->lda && x->ldb == y->ldb && x->ldc == y->ldc &&
           x->transpose_a == y->transpose_a && x->transpose_b == y->transpose_b && x->accumulate == y->accumulate &&
           x->type == y->type && x->c_type == y->c_type;
}

static inline uint64_t gemm_shape_hash(const Gemm *g) {
    const int64_t words[] = {g->m,   g->n,           g->k,           g->lda,        g->ldb,
                             g->ldc, g->transpose_a, g->transpose_b, g->accumulate, g->type * 4 + g->c_type};
    uint64_t hash = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) hash = (hash ^ (uint64_t)words[i]) * 0x9e3779b97f4a7c15u;
    return hash >> 32;
}

#endif
