/* What flame-c score is asked: a file of JSON objects, one a line,
 *
 *   {"context": "2 + 2 =", "continuation": " 4"}     how likely the continuation is after the context
 *   {"text": [84, 104, 101]}                         how likely the text is
 *
 * where each value is a string or a list of tokens. If context and continuation are strings, the tokens of the
 * continuation are those that both together have after as many as the context has alone. */
#ifndef FLAME_DATA_REQUESTS_H
#define FLAME_DATA_REQUESTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "text/tokenizer.h"

typedef struct Request {
    int64_t first, count; /* its tokens are Requests.token[first .. first + count - 1] */
    int64_t given;        /* of these are not asked for: the context. At least 1, less than count */
} Request;

typedef struct Requests {
    Request *request;
    int64_t count; /* of requests, one for each line */
    int32_t *token;
    int64_t tokens, targets; /* of all requests; targets: tokens that are asked for */
} Requests;

typedef struct RequestsOptions {
    int64_t vocab_size;
    int64_t prefix;             /* the token that stands for an empty context, and before a text; -1: there is none */
    const Tokenizer *tokenizer; /* of strings; NULL: they are refused */
} RequestsOptions;

/* Reads all lines. BAD_INPUT (logged with file and line) if one is not as above, IO_ERROR if the file cannot be read.
 * requests_free in any case. */
Status requests_read(const char *path, const RequestsOptions *options, Requests *requests);
void requests_free(Requests *requests);

#endif
