/* What follows a prompt, as it comes: tokens become text, which ends at a stop text, at an end token, or at a number of
 * tokens. */
#ifndef FLAME_TEXT_CONTINUATION_H
#define FLAME_TEXT_CONTINUATION_H

#include "text/tokenizer.h"

/* Texts before which a continuation ends; none is empty. Borrowed. */
typedef struct StopTexts {
    char *const *item;
    int count;
} StopTexts;

typedef struct Continuation {
    TokenStream *stream; /* NULL: the text is token ids */
    StopTexts stop[2];
    int64_t most; /* tokens */
    TokenIds ids; /* all tokens, a stop's too */
    char *text;   /* zero-terminated */
    int64_t bytes;
    int64_t shown;     /* bytes that continuation_show has given */
    const char *ended; /* NULL: goes on; else by what: "eos", "stop", "length" */
} Continuation;

/* After these tokens, whose last ones may be the beginning of a character, and after which a word has its space. At
 * most `most` tokens; the caller may set `stop`. tokenizer NULL: token ids, with spaces between them. */
Continuation continuation_begin(const Tokenizer *tokenizer, const TokenIds *prompt, int64_t most);
void continuation_free(Continuation *continuation);

/* Adds the next token; `is_end`: the text ends before it. Does nothing once it has ended. */
void continuation_add(Continuation *continuation, uint32_t token, bool is_end);
/* Ends the text where it is, because of `why`, if it has not ended. */
void continuation_end(Continuation *continuation, const char *why);
/* The bytes that are certain and were not given yet: no beginning of a stop text is. Valid until the next call. */
const char *continuation_show(Continuation *continuation, int64_t *bytes);

#endif
