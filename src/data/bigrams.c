#include "data/bigrams.h"

#include <stdlib.h>

#include "base/check.h"
#include "data/shuffle.h"

/* Open addressing with linear probing, at most half full. An entry of another round is free, which empties the table
 * without touching it. */
typedef struct Entry {
    uint64_t pair, round;
} Entry;

struct Bigrams {
    Entry *entry;
    uint64_t entries; /* a power of two */
    uint64_t round, used, capacity;
};

Bigrams *bigrams_create(int64_t capacity) {
    Bigrams *bigrams = calloc(1, sizeof *bigrams);
    CHECK(bigrams && capacity >= 0, "no memory for bigrams");
    *bigrams = (Bigrams){.entries = 2, .round = 1, .capacity = (uint64_t)capacity};
    while (bigrams->entries < 2 * bigrams->capacity) bigrams->entries *= 2;
    bigrams->entry = calloc(bigrams->entries, sizeof *bigrams->entry);
    CHECK(bigrams->entry, "no memory for %lld bigrams", (long long)capacity);
    return bigrams;
}

void bigrams_free(Bigrams *bigrams) {
    if (bigrams) free(bigrams->entry);
    free(bigrams);
}

void bigrams_clear(Bigrams *bigrams) {
    bigrams->round++;
    bigrams->used = 0;
}

bool bigrams_add(Bigrams *bigrams, int32_t first, int32_t second) {
    const uint64_t pair = (uint64_t)(uint32_t)first << 32 | (uint32_t)second, mask = bigrams->entries - 1;
    uint64_t at = hash_mix(0, pair) & mask;
    for (; bigrams->entry[at].round == bigrams->round; at = (at + 1) & mask)
        if (bigrams->entry[at].pair == pair) return true;
    CHECK(bigrams->used < bigrams->capacity, "more than %llu bigrams", (unsigned long long)bigrams->capacity);
    bigrams->used++;
    bigrams->entry[at] = (Entry){pair, bigrams->round};
    return false;
}
