#include "data/bigrams.h"

#include <stdlib.h>

#include "base/check.h"
#include "data/shuffle.h"

/* Open addressing with linear probing, at most half full. An entry of an earlier round is free, so starting a new round
 * empties the table at once. */
typedef struct Entry {
    uint64_t pair, round;
    int64_t number;
} Entry;

struct Bigrams {
    Entry *entry;
    uint64_t entries; /* a power of two */
    uint64_t round;
    int64_t used;
};

enum { FIRST_ENTRIES = 1024 };

static Entry *entries_create(uint64_t entries) {
    Entry *entry = calloc(entries, sizeof *entry);
    CHECK_MEMORY(entry, "no memory for %llu bigrams", (unsigned long long)entries / 2);
    return entry;
}

Bigrams *bigrams_create(void) {
    Bigrams *bigrams = calloc(1, sizeof *bigrams);
    CHECK_MEMORY(bigrams, "no memory for bigrams");
    *bigrams = (Bigrams){.entry = entries_create(FIRST_ENTRIES), .entries = FIRST_ENTRIES, .round = 1};
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

static uint64_t pair_of(int32_t first, int32_t second) { return (uint64_t)(uint32_t)first << 32 | (uint32_t)second; }

/* The entry of the pair, or the free entry where it belongs. */
static Entry *find(const Bigrams *bigrams, uint64_t pair) {
    const uint64_t mask = bigrams->entries - 1;
    uint64_t at = hash_mix(0, pair) & mask;
    while (bigrams->entry[at].round == bigrams->round && bigrams->entry[at].pair != pair) at = (at + 1) & mask;
    return &bigrams->entry[at];
}

static void grow(Bigrams *bigrams) {
    const Bigrams old = *bigrams;
    bigrams->entries *= 2;
    bigrams->entry = entries_create(bigrams->entries);
    for (uint64_t i = 0; i < old.entries; i++)
        if (old.entry[i].round == old.round) *find(bigrams, old.entry[i].pair) = old.entry[i];
    free(old.entry);
}

bool bigrams_add(Bigrams *bigrams, int32_t first, int32_t second) {
    const uint64_t pair = pair_of(first, second);
    Entry *entry = find(bigrams, pair);
    if (entry->round == bigrams->round) return true;
    *entry = (Entry){pair, bigrams->round, bigrams->used++};
    if ((uint64_t)bigrams->used > bigrams->entries / 2) grow(bigrams);
    return false;
}

int64_t bigrams_count(const Bigrams *bigrams) { return bigrams->used; }

int64_t bigrams_number(const Bigrams *bigrams, int32_t first, int32_t second) {
    const Entry *entry = find(bigrams, pair_of(first, second));
    return entry->round == bigrams->round ? entry->number : -1;
}
