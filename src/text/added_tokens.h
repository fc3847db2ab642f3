/* "added_tokens": tokens that are found in a text before it is cut into words. */
#ifndef FLAME_TEXT_ADDED_TOKENS_H
#define FLAME_TEXT_ADDED_TOKENS_H

#include "text/model.h"
#include "text/step.h"
#include "text/trie.h"

typedef struct AddedToken {
    uint32_t id;
    bool single_word;    /* only where no word goes on before or behind it */
    bool lstrip, rstrip; /* with the spaces before, behind it */
    bool normalized;     /* it is looked for in the normalized text, as the normalizer makes it */
    bool special;        /* may be left out when decoding */
    bool hidden;         /* is left out then: its text is that of a special token */
    char *text;          /* for decoding: as the normalizer makes it */
    int64_t bytes;
} AddedToken;

/* {0} is empty. */
typedef struct AddedTokens {
    Vocabulary vocabulary;
    AddedToken *token;
    int64_t count;
    int64_t *by_id; /* the place in `token`, -1: none; of vocabulary.size */
    Trie plain, normalized;
} AddedTokens;

/* Reads the list. A token of the model's vocabulary has its id there, the others follow those of the vocabulary,
 * whatever "id" says; a warning tells where that differs. BAD_INPUT (logged) if it cannot be used. */
Status added_tokens_read(AddedTokens *added, const char *path, const json_t *list, const Model *model,
                         const Steps *normalizer);
void added_tokens_free(AddedTokens *added);

/* NULL if the id is no added token's. */
const AddedToken *added_tokens_find(const AddedTokens *added, int64_t id);
/* Cuts each piece that is none yet into added tokens and what is between them. */
void added_tokens_extract(const AddedTokens *added, bool normalized, Pieces *in, Pieces *out);

#endif
