/* Maps tokens to ids and ids to tokens. Ids may have gaps. Several tokens may share an id; the last one added is then
 * the token of the id. */
#ifndef FLAME_TEXT_VOCABULARY_H
#define FLAME_TEXT_VOCABULARY_H

#include <stdint.h>

/* A larger id means a damaged file: the largest vocabularies have about a million tokens. */
enum { VOCABULARY_ID_MAX = (1 << 22) - 1 };

typedef struct VocabularyEntry {
    int64_t start, bytes; /* the token's place in `text`; start -1: none */
} VocabularyEntry;

/* {0} is empty. */
typedef struct Vocabulary {
    char *text; /* all tokens, a zero byte behind each */
    int64_t text_bytes, text_room;
    int64_t count; /* tokens */
    int64_t size;  /* the largest id + 1 */
    int64_t size_room;
    VocabularyEntry *entry; /* by id */
    struct VocabularySlot *slot;
    int64_t slots; /* a power of two, or 0 */
} Vocabulary;

/* Adds a token, or gives it another id. */
void vocabulary_add(Vocabulary *vocabulary, const char *token, int64_t bytes, uint32_t id);
/* The id of a token; -1 if there is no such token. */
int64_t vocabulary_find(const Vocabulary *vocabulary, const char *token, int64_t bytes);
/* The token with this id; NULL if there is none. */
const char *vocabulary_token(const Vocabulary *vocabulary, int64_t id, int64_t *bytes);
void vocabulary_free(Vocabulary *vocabulary);

/* A hash of some bytes. */
uint64_t text_hash(const char *text, int64_t bytes);

#endif
