/* "added_tokens": tokens that are found in a text before it is cut into words. */
#ifndef FLAME_TEXT_ADDED_TOKENS_H
#define FLAME_TEXT_ADDED_TOKENS_H

#include "text/model.h"
#include "text/step.h"
#include "text/trie.h"

typedef struct AddedToken {
    uint32_t id;
    bool single_word;    /* found only where neither the character before nor the one behind belongs to a word */
    bool lstrip, rstrip; /* takes the spaces before it, behind it */
    bool normalized;     /* searched for in the normalized text, in its own normalized form */
    bool special;        /* left out when decoding, if the caller asks for it */
    bool hidden;         /* left out together with special tokens, because its text is that of one */
    char *text;          /* the text to search for and to decode to, normalized if `normalized` */
    int64_t bytes;
} AddedToken;

/* {0} is empty. */
typedef struct AddedTokens {
    Vocabulary vocabulary;
    AddedToken *token;
    int64_t count;
    int64_t *by_id; /* [vocabulary.size]: the index in `token`; -1: none */
    Trie plain, normalized;
} AddedTokens;

/* Reads the list. A token that the model's vocabulary has keeps its id from there. The others are numbered behind the
 * vocabulary, whatever their "id" says; a warning names each token whose "id" differs. BAD_INPUT (logged) if the list
 * cannot be used. */
Status added_tokens_read(AddedTokens *added, const char *path, const json_t *list, const Model *model,
                         const Steps *normalizer);
void added_tokens_free(AddedTokens *added);

/* The added token with this id, or NULL. */
const AddedToken *added_tokens_find(const AddedTokens *added, int64_t id);
/* Cuts each piece that is not yet an added token into added tokens and the text between them. `normalized` selects the
 * tokens to search for. */
void added_tokens_extract(const AddedTokens *added, bool normalized, Pieces *in, Pieces *out);

#endif
