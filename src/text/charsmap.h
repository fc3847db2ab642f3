/* SentencePiece's table of replacements ("precompiled_charsmap"): a double-array trie of texts, and the replacement of
 * each. */
#ifndef FLAME_TEXT_CHARSMAP_H
#define FLAME_TEXT_CHARSMAP_H

#include <stdint.h>

typedef struct Charsmap Charsmap;

/* Decodes a table in base64. NULL if it is damaged. The caller frees it. */
Charsmap *charsmap_read(const char *base64, int64_t bytes);
void charsmap_free(Charsmap *charsmap);
/* The replacement of the shortest prefix of the text that has one, *found_bytes of the text. NULL if no prefix has
 * one. */
const char *charsmap_find(const Charsmap *charsmap, const char *text, int64_t bytes, int64_t *found_bytes);

#endif
