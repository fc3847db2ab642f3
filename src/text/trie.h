/* Finds which of a set of texts a given text begins with. */
#ifndef FLAME_TEXT_TRIE_H
#define FLAME_TEXT_TRIE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct TrieEdge TrieEdge;

/* {0} is empty. */
typedef struct Trie {
    TrieEdge *edge; /* a hash table of (node, byte) */
    int64_t edges, slots;
    int32_t *value; /* by node; -1: no text ends there */
    int64_t nodes, room;
    bool first[256]; /* whether a text begins with this byte */
} Trie;

/* Adds a text that is not empty, or gives it another value. */
void trie_add(Trie *trie, const char *text, int64_t bytes, int32_t value);
void trie_free(Trie *trie);

/* The child of `node` for a byte, and in *value the value of the text that ends there, or -1. Returns -1 if there is no
 * child. The root is node 0. */
int32_t trie_step(const Trie *trie, int32_t node, unsigned char byte, int32_t *value);
/* How many bytes at the beginning of `text` cannot be the first byte of a text in the trie. */
int64_t trie_skip(const Trie *trie, const char *text, int64_t bytes);
/* The value of the longest text in the trie that `text` begins with, and its length in *found_bytes; -1 if there is
 * none. */
int32_t trie_longest(const Trie *trie, const char *text, int64_t bytes, int64_t *found_bytes);

#endif
