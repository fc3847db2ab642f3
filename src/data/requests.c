#include "data/requests.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/log.h"

static const int64_t file_bytes_max = (int64_t)1 << 34;

typedef struct Reader {
    const char *path;
    const RequestsOptions *options;
    Requests *requests;
    TokenEncoder *encoder; /* NULL: there is no tokenizer */
    TokenIds ids;          /* the tokens of a string */
    int64_t line, token_room, request_room;
} Reader;

__attribute__((format(printf, 2, 3))) static Status refuse(const Reader *reader, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_error("%s:%lld: %s", reader->path, (long long)reader->line, text);
    return BAD_INPUT;
}

/* Makes room for one more item of an array. */
static void *grow(void *array, int64_t used, int64_t *room, size_t size) {
    if (used < *room) return array;
    *room = *room ? 2 * *room : 1024;
    array = realloc(array, (size_t)*room * size);
    CHECK_MEMORY(array, "no memory for requests");
    return array;
}

static void add_token(Reader *reader, int64_t token) {
    Requests *r = reader->requests;
    r->token = grow(r->token, r->tokens, &reader->token_room, sizeof *r->token);
    r->token[r->tokens++] = (int32_t)token;
}

/* Adds the tokens of a text from number `from` on. `special`: with those that the tokenizer puts around every text. */
static Status add_text(Reader *reader, const char *text, size_t bytes, bool special, int64_t from) {
    if (!reader->encoder) return refuse(reader, "there is a string; give lists of tokens, or leave out --ids");
    reader->ids.count = 0;
    const Status status = tokenizer_encode(reader->encoder, text, (int64_t)bytes, special, &reader->ids);
    if (status != OK) return refuse(reader, "%s", token_encoder_reason(reader->encoder));
    for (int64_t i = from; i < reader->ids.count; i++) add_token(reader, reader->ids.id[i]);
    return OK;
}

static Status add_string(Reader *reader, const json_t *string, bool special) {
    return add_text(reader, json_string_value(string), json_string_length(string), special, 0);
}

/* Adds the tokens of the continuation of a context. The context alone has `given` tokens. */
static Status add_continuation(Reader *reader, const json_t *context, const json_t *continuation, int64_t given) {
    const size_t before = json_string_length(context), bytes = before + json_string_length(continuation);
    char *both = malloc(bytes + 1);
    CHECK_MEMORY(both, "no memory for a request");
    memcpy(both, json_string_value(context), before);
    memcpy(both + before, json_string_value(continuation), bytes - before);
    const Status status = add_text(reader, both, bytes, true, given);
    free(both);
    return status;
}

static Status add_list(Reader *reader, const char *key, const json_t *value) {
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item) {
        if (!json_is_integer(item)) return refuse(reader, "\"%s\"[%zu] is not a token", key, i);
        const json_int_t token = json_integer_value(item);
        if (token < 0 || token >= reader->options->vocab_size)
            return refuse(reader, "\"%s\"[%zu] is %lld, but the vocabulary has %lld tokens", key, i, (long long)token,
                          (long long)reader->options->vocab_size);
        add_token(reader, token);
    }
    return OK;
}

/* Adds the tokens of the value of `key`. */
static Status add_value(Reader *reader, const json_t *line, const char *key, bool special) {
    const json_t *value = json_object_get(line, key);
    if (json_is_string(value)) return add_string(reader, value, special);
    if (json_is_array(value)) return add_list(reader, key, value);
    return refuse(reader, value ? "\"%s\" is neither a string nor a list of tokens" : "there is no \"%s\"", key);
}

static Status add_prefix(Reader *reader) {
    if (reader->options->prefix < 0)
        return refuse(reader, "the model has no bos_token_id and no eos_token_id to begin with; give a context");
    add_token(reader, reader->options->prefix);
    return OK;
}

/* Adds the tokens of the context, and then those to be scored, whose key is *asked. */
static Status add_tokens(Reader *reader, const json_t *line, Request *request, const char **asked) {
    const Requests *r = reader->requests;
    const json_t *context = json_object_get(line, "context"), *continuation = json_object_get(line, "continuation");
    const bool text = json_object_get(line, "text") != NULL;
    *asked = text ? "text" : "continuation";
    if (text && (context || continuation))
        return refuse(reader, "there are both \"text\" and \"context\" or \"continuation\"");
    Status status = text ? OK : add_value(reader, line, "context", true);
    const int64_t alone = r->tokens - request->first;
    if (status == OK && alone == 0) status = add_prefix(reader);
    request->given = r->tokens - request->first;
    if (status == OK)
        status = json_is_string(context) && json_is_string(continuation)
                     ? add_continuation(reader, context, continuation, alone)
                     : add_value(reader, line, *asked, false);
    request->count = r->tokens - request->first;
    return status;
}

static Status add_request(Reader *reader, const json_t *line) {
    Requests *r = reader->requests;
    Request request = {.first = r->tokens};
    const char *asked;
    const Status status = add_tokens(reader, line, &request, &asked);
    if (status != OK) return status;
    if (request.count == request.given) return refuse(reader, "\"%s\" has no tokens", asked);
    r->targets += request.count - request.given;
    r->request = grow(r->request, r->count, &reader->request_room, sizeof *r->request);
    r->request[r->count++] = request;
    return OK;
}

static Status read_line(Reader *reader, const char *text, size_t bytes) {
    json_error_t error;
    json_t *line = json_loadb(text, bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    Status status;
    if (!line)
        status = refuse(reader, "not JSON: %s", error.text);
    else if (!json_is_object(line))
        status = refuse(reader, "not a JSON object");
    else
        status = add_request(reader, line);
    json_decref(line);
    return status;
}

static Status read_lines(Reader *reader, const char *text, int64_t bytes) {
    const char *end = text + bytes;
    Status status = OK;
    while (text < end && status == OK) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        if (!stop) stop = end;
        reader->line++;
        status = read_line(reader, text, (size_t)(stop - text));
        text = stop + 1;
    }
    if (status == OK && reader->requests->count == 0) {
        log_error("%s: is empty", reader->path);
        status = BAD_INPUT;
    }
    return status;
}

Status requests_read(const char *path, const RequestsOptions *options, Requests *requests) {
    Reader reader = {.path = path, .options = options, .requests = requests};
    if (options->tokenizer) reader.encoder = token_encoder_create(options->tokenizer);
    char *text = NULL;
    int64_t bytes = 0;
    *requests = (Requests){0};
    const int error = file_read_all(path, file_bytes_max, &text, &bytes);
    if (error) log_error("reading %s: %s", path, file_read_reason(error));
    const Status status = error ? (file_is_missing(error) ? BAD_INPUT : IO_ERROR) : read_lines(&reader, text, bytes);
    free(text);
    free(reader.ids.id);
    token_encoder_free(reader.encoder);
    return status;
}

void requests_free(Requests *requests) {
    free(requests->request);
    free(requests->token);
    *requests = (Requests){0};
}
