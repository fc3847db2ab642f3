/* A cache of the words that a thread has encoded recently, with their tokens. */
#ifndef FLAME_TEXT_WORD_CACHE_H
#define FLAME_TEXT_WORD_CACHE_H

#include <stdbool.h>

#include "text/token_ids.h"

typedef struct WordCache WordCache;

WordCache *word_cache_create(void);
void word_cache_free(WordCache *cache);
/* Appends the tokens of a word; false if the cache does not hold it. */
bool word_cache_find(const WordCache *cache, const char *word, int64_t bytes, uint64_t hash, TokenIds *ids);
/* Keeps a word and its tokens if they are short enough. It may replace another word. */
void word_cache_keep(WordCache *cache, const char *word, int64_t bytes, uint64_t hash, const uint32_t *id,
                     int64_t count);

#endif
