/* A set of pairs of consecutive tokens, for what a context has already said. */
#ifndef FLAME_DATA_BIGRAMS_H
#define FLAME_DATA_BIGRAMS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Bigrams Bigrams;

/* For at most `capacity` pairs between two calls of bigrams_clear. The caller frees it with bigrams_free. */
Bigrams *bigrams_create(int64_t capacity);
void bigrams_free(Bigrams *bigrams);

/* Empties the set, in constant time. */
void bigrams_clear(Bigrams *bigrams);
/* Adds the pair. Returns whether it was in the set already. */
bool bigrams_add(Bigrams *bigrams, int32_t first, int32_t second);

#endif
