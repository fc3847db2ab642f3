/* What follows a prompt, as it comes: tokens become text, which ends at a stop text, at the model's end token, or at a
 * number of tokens. */
#ifndef FLAME_COMMANDS_CONTINUATION_H
#define FLAME_COMMANDS_CONTINUATION_H

#include "commands/options.h"
#include "text/tokenizer.h"

typedef struct Continuation {
    TokenStream *stream; /* NULL: the text is token ids */
    const Texts *stop;   /* at most `stops` of two lists; borrowed */
    char *const *more_stop;
    int more_stops;
    int64_t most;      /* tokens */
    TokenIds ids;      /* all tokens, a stop's too */
    char *text;        /* zero-terminated */
    int64_t bytes;     /* of it */
    int64_t shown;     /* bytes that continuation_show has given */
    const char *ended; /* NULL: goes on; else by what: "eos", "stop", "length" */
} Continuation;

/* tokenizer NULL: token ids, with spaces between them. */
Continuation continuation_begin(const Tokenizer *tokenizer, const Texts *stop, char *const *more_stop, int more_stops,
                                int64_t most);
void continuation_free(Continuation *continuation);

/* Adds the next token; `is_end`: the text ends before it. Does nothing once it has ended. */
void continuation_add(Continuation *continuation, uint32_t token, bool is_end);
/* Ends the text where it is, because of `why`, if it has not ended. */
void continuation_end(Continuation *continuation, const char *why);
/* The bytes that are certain and were not given yet: no beginning of a stop text is. Valid until the next call. */
const char *continuation_show(Continuation *continuation, int64_t *bytes);

#endif
