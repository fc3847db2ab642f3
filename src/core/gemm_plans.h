/* A library's plans for matrix products, by shape (a Gemm without its pointers) and by the alignment of the matrices.
 * Prompts of ever new lengths need ever new plans, so the number of plans is limited: when it is reached all are
 * destroyed, and those that are still needed are made again. */
#ifndef FLAME_CORE_GEMM_PLANS_H
#define FLAME_CORE_GEMM_PLANS_H

#include "core/device.h"

enum { GEMM_PLANS = 4096 };

typedef struct GemmKey {
    Gemm shape;
    uint32_t alignment[3]; /* of A, B, C; 0 where plans do not depend on it */
} GemmKey;

/* Initialise with .most, .plan_bytes and .destroy; everything else is zero. */
typedef struct GemmPlans {
    int most; /* how many plans are kept at a time */
    int64_t plan_bytes;
    void (*destroy)(void *plan);
    int count;
    GemmKey *key; /* [most] */
    char *plan;   /* [most], of plan_bytes */
    int *slot;    /* [2 * most], a hash table: the number of a plan, counted from 1, or 0 */
} GemmPlans;

/* Makes room for `count` more plans. This may destroy all plans that were found before. */
void gemm_plans_reserve(GemmPlans *plans, int count);
/* The plan of a key. If there is none yet, it takes room that was reserved, is all zero, and *is_new is set. */
void *gemm_plans_find(GemmPlans *plans, const GemmKey *key, bool *is_new);

#endif
