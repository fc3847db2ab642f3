/* "post_processor": the special tokens around every text. */
#ifndef FLAME_TEXT_POST_PROCESSOR_H
#define FLAME_TEXT_POST_PROCESSOR_H

#include "text/fields.h"
#include "text/token_ids.h"

/* A template of special tokens and POST_TEXT, which stands for the tokens of the text. {0}: the text alone. */
enum { POST_TEXT = -1 };
typedef struct PostProcessor {
    int64_t *item;
    int64_t count;
    bool set;
} PostProcessor;

/* Reads the value of "post_processor". BAD_INPUT (logged) if it cannot be used. */
Status post_processor_read(PostProcessor *post, const char *path, const json_t *object);
void post_processor_free(PostProcessor *post);
/* One more than the largest id in the template; 0 if it adds no tokens. */
int64_t post_processor_vocab_size(const PostProcessor *post);

/* Appends the tokens of a text, with the template's special tokens if `special_tokens`. */
void post_processor_put(const PostProcessor *post, const TokenIds *text, bool special_tokens, TokenIds *ids);

#endif
