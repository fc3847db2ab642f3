#include "text/word_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { SLOTS = 1 << 14, WORD_BYTES = 54, WORD_TOKENS = 16 };

typedef struct WordSlot {
    uint64_t hash;
    unsigned char bytes, count; /* bytes 0: empty */
    char word[WORD_BYTES];
    uint32_t id[WORD_TOKENS];
} WordSlot;

struct WordCache {
    WordSlot slot[SLOTS];
};

WordCache *word_cache_create(void) {
    WordCache *cache = calloc(1, sizeof *cache);
    CHECK_MEMORY(cache, "no memory for a cache of words");
    return cache;
}

void word_cache_free(WordCache *cache) { free(cache); }

bool word_cache_find(const WordCache *cache, const char *word, int64_t bytes, uint64_t hash, TokenIds *ids) {
    const WordSlot *slot = &cache->slot[hash % SLOTS];
    if (slot->hash != hash || slot->bytes != bytes || bytes == 0) return false;
    if (memcmp(slot->word, word, (size_t)bytes) != 0) return false;
    memcpy(token_ids_room(ids, WORD_TOKENS), slot->id, sizeof slot->id);
    ids->count += slot->count;
    return true;
}

void word_cache_keep(WordCache *cache, const char *word, int64_t bytes, uint64_t hash, const uint32_t *id,
                     int64_t count) {
    if (bytes > WORD_BYTES || count > WORD_TOKENS) return;
    WordSlot *slot = &cache->slot[hash % SLOTS];
    slot->hash = hash;
    slot->bytes = (unsigned char)bytes;
    slot->count = (unsigned char)count;
    memcpy(slot->word, word, (size_t)bytes);
    if (count > 0) memcpy(slot->id, id, (size_t)count * sizeof *id);
}
