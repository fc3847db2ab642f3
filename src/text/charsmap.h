/* SentencePiece's table of replacements ("precompiled_charsmap"): a double-array trie of texts, and what they become.
 */
#ifndef FLAME_TEXT_CHARSMAP_H
#define FLAME_TEXT_CHARSMAP_H

#include <stdint.h>

typedef struct Charsmap Charsmap;

/* From base64. NULL if it is damaged. */
Charsmap *charsmap_read(const char *base64, int64_t bytes);
void charsmap_free(Charsmap *charsmap);
/* What becomes of a text: the replacement of its shortest beginning that has one. NULL if none has. */
const char *charsmap_find(const Charsmap *charsmap, const char *text, int64_t bytes, int64_t *found_bytes);

#endif
