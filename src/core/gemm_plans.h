/* A library's plans for matrix products, by shape (a Gemm without its pointers) and by the alignment of the matrices.
 * Prompts of ever new lengths want ever new plans, so at most a fixed number are kept: then all are destroyed, and
 * those still wanted are made again. */
#ifndef FLAME_CORE_GEMM_PLANS_H
#define FLAME_CORE_GEMM_PLANS_H

#include "core/device.h"

enum { GEMM_PLANS = 4096 };

typedef struct GemmKey {
    Gemm shape;
    uint32_t alignment[3]; /* of A, B, C; 0 where plans do not depend on it */
} GemmKey;

/* Begins as {.most, .plan_bytes, .destroy}. */
typedef struct GemmPlans {
    int most; /* plans at a time */
    int64_t plan_bytes;
    void (*destroy)(void *plan);
    int count;
    GemmKey *key; /* [most] */
    char *plan;   /* [most], of plan_bytes */
    int *slot;    /* [2 * most], a hash table: the number of a plan, counted from 1, or 0 */
} GemmPlans;

/* Makes room for `count` more plans. All that were found before may be destroyed. */
void gemm_plans_reserve(GemmPlans *plans, int count);
/* The plan of a key, which needs room if there is none yet: then *is_new, and the plan is all zero. */
void *gemm_plans_find(GemmPlans *plans, const GemmKey *key, bool *is_new);

#endif
