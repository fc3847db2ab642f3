/* The merges of byte-pair encoding. */
#ifndef FLAME_TEXT_MERGES_H
#define FLAME_TEXT_MERGES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Merge {
    uint64_t pair; /* both tokens, left << 32 | right; UINT64_MAX: empty */
    uint32_t rank; /* the pair with the smallest rank is merged first */
    uint32_t token;
} Merge;

/* {0} is empty. */
typedef struct Merges {
    Merge *slot; /* a hash table of `slots` entries */
    int64_t count, slots;
} Merges;

/* Adds a merge, or gives the pair another rank and token. */
void merges_add(Merges *merges, uint32_t left, uint32_t right, uint32_t rank, uint32_t token);
void merges_free(Merges *merges);

/* Working memory of merges_apply: a token with its neighbours, and a pair that waits to be merged. */
typedef struct MergeSymbol {
    uint32_t token;
    int32_t previous, next; /* -1: none */
    bool gone;
} MergeSymbol;
typedef struct MergeWaiting {
    uint64_t order; /* rank << 32 | position */
    uint32_t token;
} MergeWaiting;

/* Merges what can be merged in token[0 .. count) and returns how many tokens are left. `symbol` has room for `count`
 * entries, `waiting` for 3 * count. */
int64_t merges_apply(const Merges *merges, uint32_t *token, int64_t count, MergeSymbol *symbol, MergeWaiting *waiting);

#endif
