#include "core/gemm_plans.h"

#include <string.h>

#include "base/check.h"
#include "base/memory.h"

static bool is_equal(const GemmKey *p, const GemmKey *q) {
    const Gemm *x = &p->shape, *y = &q->shape;
    return x->m == y->m && x->n == y->n && x->k == y->k && x->lda == y->lda && x->ldb == y->ldb && x->ldc == y->ldc &&
           x->transpose_a == y->transpose_a && x->transpose_b == y->transpose_b && x->accumulate == y->accumulate &&
           x->type == y->type && x->c_type == y->c_type && memcmp(p->alignment, q->alignment, sizeof p->alignment) == 0;
}

static uint64_t hash_of(const GemmKey *key) {
    const Gemm *g = &key->shape;
    const int64_t words[] = {g->m,
                             g->n,
                             g->k,
                             g->lda,
                             g->ldb,
                             g->ldc,
                             g->transpose_a,
                             g->transpose_b,
                             g->accumulate,
                             g->type * 4 + g->c_type,
                             key->alignment[0],
                             key->alignment[1],
                             key->alignment[2]};
    uint64_t hash = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) hash = (hash ^ (uint64_t)words[i]) * 0x9e3779b97f4a7c15u;
    return hash >> 32;
}

static void destroy_all(GemmPlans *plans) {
    for (int i = 0; i < plans->count; i++) plans->destroy(plans->plan + i * plans->plan_bytes);
    memset(plans->plan, 0, (size_t)(plans->count * plans->plan_bytes));
    memset(plans->slot, 0, (size_t)(2 * plans->most) * sizeof *plans->slot);
    plans->count = 0;
}

static void *take(int64_t count, int64_t bytes) {
    return memory_take(count * bytes, "plans of matrix products", NOTHING_LESS);
}

void gemm_plans_reserve(GemmPlans *plans, int count) {
    CHECK(count <= plans->most, "%d plans at a time, of %d", count, plans->most);
    if (!plans->plan) {
        plans->key = take(plans->most, sizeof *plans->key);
        plans->plan = take(plans->most, plans->plan_bytes);
        plans->slot = take(2 * plans->most, sizeof *plans->slot);
    }
    if (count > plans->most - plans->count) destroy_all(plans);
}

void *gemm_plans_find(GemmPlans *plans, const GemmKey *key, bool *is_new) {
    const uint64_t slots = 2 * (uint64_t)plans->most;
    uint64_t at = hash_of(key) % slots;
    while (plans->slot[at] && !is_equal(&plans->key[plans->slot[at] - 1], key)) at = (at + 1) % slots;
    *is_new = plans->slot[at] == 0;
    if (*is_new) {
        CHECK(plans->count < plans->most, "no room for a plan was made");
        plans->key[plans->count] = *key;
        plans->slot[at] = ++plans->count;
    }
    return plans->plan + (plans->slot[at] - 1) * plans->plan_bytes;
}
