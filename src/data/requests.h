/* What flame-c score is asked: a file of JSON objects, one a line,
 *
 *   {"context": "2 + 2 =", "continuation": " 4"}     how likely the continuation is after the context
 *   {"text": [84, 104, 101]}                         how likely the text is
 *
 * where each value is a string or a list of tokens. If context and continuation are strings, both are tokenized
 * together. The tokens of the continuation are then those behind the first n, where n is the number of tokens of the
 * context alone. */
#ifndef FLAME_DATA_REQUESTS_H
#define FLAME_DATA_REQUESTS_H

#include <stdint.h>

#include "base/check.h"
#include "text/tokenizer.h"

typedef struct Request {
    int64_t first, count; /* its tokens are Requests.token[first .. first + count - 1] */
    int64_t given;        /* how many of these are the context, which is not scored; at least 1 and less than `count` */
} Request;

typedef struct Requests {
    Request *request;
    int64_t count; /* of requests, one for each line */
    int32_t *token;
    int64_t tokens, targets; /* of all requests; targets: tokens that are scored */
} Requests;

typedef struct RequestsOptions {
    int64_t vocab_size;
    int64_t prefix;             /* the token that replaces an empty context and precedes a text; -1: there is none */
    const Tokenizer *tokenizer; /* for strings; NULL: strings are refused */
} RequestsOptions;

/* Reads all lines. BAD_INPUT (logged with file and line) if one does not have the form above, IO_ERROR if the file
 * cannot be read. The caller calls requests_free, also on failure. */
Status requests_read(const char *path, const RequestsOptions *options, Requests *requests);
void requests_free(Requests *requests);

#endif
