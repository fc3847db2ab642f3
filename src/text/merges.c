#include "text/merges.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/check.h"

static uint64_t pair_of(uint32_t left, uint32_t right) { return (uint64_t)left << 32 | right; }

static Merge *find_slot(const Merges *merges, uint64_t pair) {
    uint64_t i = pair * 0x9e3779b97f4a7c15u;
    for (i ^= i >> 32;; i++) {
        Merge *slot = &merges->slot[i & (uint64_t)(merges->slots - 1)];
        if (slot->pair == pair || slot->pair == UINT64_MAX) return slot;
    }
}

static void grow(Merges *merges) {
    Merge *old = merges->slot;
    const int64_t old_slots = merges->slots;
    merges->slots = old_slots ? 2 * old_slots : 1024;
    merges->slot = malloc((size_t)merges->slots * sizeof *merges->slot);
    CHECK_MEMORY(merges->slot, "no memory for %lld merges", (long long)merges->slots);
    for (int64_t i = 0; i < merges->slots; i++) merges->slot[i].pair = UINT64_MAX;
    for (int64_t i = 0; i < old_slots; i++)
        if (old[i].pair != UINT64_MAX) *find_slot(merges, old[i].pair) = old[i];
    free(old);
}

void merges_add(Merges *merges, uint32_t left, uint32_t right, uint32_t rank, uint32_t token) {
    if (2 * merges->count >= merges->slots) grow(merges);
    Merge *slot = find_slot(merges, pair_of(left, right));
    if (slot->pair == UINT64_MAX) merges->count++;
    *slot = (Merge){pair_of(left, right), rank, token};
}

void merges_free(Merges *merges) {
    free(merges->slot);
    *merges = (Merges){0};
}

/* The merge of a pair, or NULL. */
static const Merge *find(const Merges *merges, uint32_t left, uint32_t right) {
    if (merges->count == 0) return NULL;
    const Merge *slot = find_slot(merges, pair_of(left, right));
    return slot->pair == UINT64_MAX ? NULL : slot;
}

/* A binary heap with the smallest `order` at the top. */
typedef struct Heap {
    MergeWaiting *waiting;
    int64_t count;
} Heap;

static void push(Heap *heap, MergeWaiting waiting) {
    int64_t at = heap->count++;
    for (; at > 0 && heap->waiting[(at - 1) / 2].order > waiting.order; at = (at - 1) / 2)
        heap->waiting[at] = heap->waiting[(at - 1) / 2];
    heap->waiting[at] = waiting;
}

static MergeWaiting pop(Heap *heap) {
    const MergeWaiting top = heap->waiting[0], last = heap->waiting[--heap->count];
    int64_t at = 0;
    for (int64_t child; (child = 2 * at + 1) < heap->count; at = child) {
        if (child + 1 < heap->count && heap->waiting[child + 1].order < heap->waiting[child].order) child++;
        if (heap->waiting[child].order >= last.order) break;
        heap->waiting[at] = heap->waiting[child];
    }
    heap->waiting[at] = last;
    return top;
}

static void push_pair(const Merges *merges, const MergeSymbol *symbol, int64_t at, Heap *heap) {
    if (at < 0 || symbol[at].next < 0) return;
    const Merge *merge = find(merges, symbol[at].token, symbol[symbol[at].next].token);
    if (merge) push(heap, (MergeWaiting){(uint64_t)merge->rank << 32 | (uint64_t)at, merge->token});
}

/* Whether a waiting pair still exists: another merge may have taken one of its tokens meanwhile. */
static bool is_current(const Merges *merges, const MergeSymbol *symbol, int64_t at, uint32_t token) {
    if (symbol[at].gone || symbol[at].next < 0) return false;
    const Merge *merge = find(merges, symbol[at].token, symbol[symbol[at].next].token);
    return merge && merge->token == token;
}

/* There are fewer merges than tokens. Each takes one pair from the heap and adds at most two. Together with the pairs
 * at the beginning, fewer than 3 * count pairs ever wait. */
int64_t merges_apply(const Merges *merges, uint32_t *token, int64_t count, MergeSymbol *symbol, MergeWaiting *waiting) {
    Heap heap = {waiting, 0};
    for (int64_t i = 0; i < count; i++)
        symbol[i] = (MergeSymbol){token[i], (int32_t)i - 1, i + 1 < count ? (int32_t)i + 1 : -1, false};
    for (int64_t i = 0; i < count; i++) push_pair(merges, symbol, i, &heap);
    while (heap.count > 0) {
        const MergeWaiting top = pop(&heap);
        const int64_t at = (int64_t)(top.order & UINT32_MAX);
        if (!is_current(merges, symbol, at, top.token)) continue;
        MergeSymbol *right = &symbol[symbol[at].next];
        symbol[at].token = top.token;
        symbol[at].next = right->next;
        right->gone = true;
        if (right->next >= 0) symbol[right->next].previous = (int32_t)at;
        push_pair(merges, symbol, symbol[at].previous, &heap);
        push_pair(merges, symbol, at, &heap);
    }
    int64_t left = 0;
    for (int64_t i = 0; i < count; i++)
        if (!symbol[i].gone) token[left++] = symbol[i].token;
    return left;
}
