/* The continuation of a prompt, as it is generated: tokens become text, which ends before a stop text, before an end
 * token, or after a number of tokens. */
#ifndef FLAME_TEXT_CONTINUATION_H
#define FLAME_TEXT_CONTINUATION_H

#include "text/tokenizer.h"

/* Texts before which a continuation ends. None is empty. The strings are borrowed. */
typedef struct StopTexts {
    char *const *item;
    int count;
} StopTexts;

typedef struct Continuation {
    TokenStream *stream; /* NULL: the text is token ids */
    StopTexts stop[2];
    int64_t most; /* most tokens of the continuation */
    TokenIds ids; /* all tokens, including those of a stop text */
    char *text;   /* zero-terminated */
    int64_t bytes;
    int64_t shown;     /* bytes that continuation_show has returned */
    const char *ended; /* why the text has ended: "eos", "stop", "length"; NULL: it has not */
} Continuation;

/* Begins the continuation of the tokens `prompt`, of at most `most` tokens. The prompt matters to the text: its last
 * tokens may be the beginning of a character, and a word after it has a space in front. tokenizer NULL: the text is
 * token ids with spaces between them. The caller may then set `stop`. */
Continuation continuation_begin(const Tokenizer *tokenizer, const TokenIds *prompt, int64_t most);
void continuation_free(Continuation *continuation);

/* Adds the next token, or, if `is_end`, ends the text before it. Does nothing once the text has ended. */
void continuation_add(Continuation *continuation, uint32_t token, bool is_end);
/* Ends the text here, with the reason `why`, unless it has ended already. */
void continuation_end(Continuation *continuation, const char *why);
/* The bytes that are certain and have not been returned yet. The end of the text is not certain while it may be the
 * beginning of a stop text. Valid until the next call. */
const char *continuation_show(Continuation *continuation, int64_t *bytes);

#endif
