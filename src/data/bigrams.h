/* A set of pairs of consecutive tokens, numbered in the order in which they were added. */
#ifndef FLAME_DATA_BIGRAMS_H
#define FLAME_DATA_BIGRAMS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Bigrams Bigrams;

/* The caller frees it with bigrams_free. */
Bigrams *bigrams_create(void);
void bigrams_free(Bigrams *bigrams);

/* Empties the set, in constant time. */
void bigrams_clear(Bigrams *bigrams);
/* Adds the pair. Returns whether the set had it already. */
bool bigrams_add(Bigrams *bigrams, int32_t first, int32_t second);
int64_t bigrams_count(const Bigrams *bigrams);
/* The pair's number: how many pairs were added before it. -1 if it is not in the set. */
int64_t bigrams_number(const Bigrams *bigrams, int32_t first, int32_t second);

#endif
