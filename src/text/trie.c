#include "text/trie.h"

#include <stdlib.h>

#include "base/check.h"

struct TrieEdge {
    uint64_t key;  /* node * 256 + byte + 1; 0: empty */
    int32_t child; /* never 0, which is the root */
};

static TrieEdge *find_edge(const Trie *trie, uint64_t key) {
    uint64_t i = key * 0x9e3779b97f4a7c15u;
    for (i ^= i >> 32;; i++) {
        TrieEdge *edge = &trie->edge[i & (uint64_t)(trie->slots - 1)];
        if (edge->key == key || edge->key == 0) return edge;
    }
}

static void grow_edges(Trie *trie) {
    TrieEdge *old = trie->edge;
    const int64_t old_slots = trie->slots;
    trie->slots = old_slots ? 2 * old_slots : 256;
    trie->edge = calloc((size_t)trie->slots, sizeof *trie->edge);
    CHECK_MEMORY(trie->edge, "no memory for a trie of %lld edges", (long long)trie->slots);
    for (int64_t i = 0; i < old_slots; i++)
        if (old[i].key) *find_edge(trie, old[i].key) = old[i];
    free(old);
}

static int32_t add_node(Trie *trie) {
    if (trie->nodes == trie->room) {
        trie->room = 2 * trie->room + 256;
        trie->value = realloc(trie->value, (size_t)trie->room * sizeof *trie->value);
        CHECK_MEMORY(trie->value && trie->room < INT32_MAX, "no memory for a trie of %lld nodes",
                     (long long)trie->room);
    }
    trie->value[trie->nodes] = -1;
    return (int32_t)trie->nodes++;
}

static uint64_t key_of(int32_t node, unsigned char byte) { return (uint64_t)node * 256 + byte + 1; }

void trie_add(Trie *trie, const char *text, int64_t bytes, int32_t value) {
    int32_t node = 0;
    if (trie->nodes == 0) add_node(trie);
    trie->first[(unsigned char)text[0]] = true;
    for (int64_t i = 0; i < bytes; i++) {
        if (2 * trie->edges >= trie->slots) grow_edges(trie);
        const uint64_t key = key_of(node, (unsigned char)text[i]);
        TrieEdge *edge = find_edge(trie, key);
        if (edge->key == 0) {
            *edge = (TrieEdge){key, add_node(trie)};
            trie->edges++;
        }
        node = edge->child;
    }
    trie->value[node] = value;
}

int32_t trie_step(const Trie *trie, int32_t node, unsigned char byte, int32_t *value) {
    const TrieEdge *edge = trie->edges ? find_edge(trie, key_of(node, byte)) : NULL;
    if (!edge || edge->key == 0) return -1;
    *value = trie->value[edge->child];
    return edge->child;
}

int64_t trie_skip(const Trie *trie, const char *text, int64_t bytes) {
    int64_t at = 0;
    while (at < bytes && !trie->first[(unsigned char)text[at]]) at++;
    return at;
}

int32_t trie_longest(const Trie *trie, const char *text, int64_t bytes, int64_t *found_bytes) {
    int32_t found = -1, value, node = 0;
    for (int64_t i = 0; i < bytes; i++) {
        node = trie_step(trie, node, (unsigned char)text[i], &value);
        if (node < 0) break;
        if (value < 0) continue;
        found = value;
        *found_bytes = i + 1;
    }
    return found;
}

void trie_free(Trie *trie) {
    free(trie->edge);
    free(trie->value);
    *trie = (Trie){0};
}
