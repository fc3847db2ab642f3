#define PCRE2_CODE_UNIT_WIDTH 8

#include "text/pattern.h"

#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/dialect.h"

struct Pattern {
    pcre2_code *expression; /* NULL: a string */
    bool compiled;          /* to machine code */
    char *string;
    int64_t bytes;
};

void pattern_free(Pattern *pattern) {
    if (!pattern) return;
    pcre2_code_free(pattern->expression);
    free(pattern->string);
    free(pattern);
}

void pattern_room_free(PatternRoom *room) {
    pcre2_match_data_free(room->data);
    room->data = NULL;
}

static Pattern *create(void) {
    Pattern *pattern = calloc(1, sizeof *pattern);
    CHECK_MEMORY(pattern, "no memory for a pattern");
    return pattern;
}

static Pattern *string_pattern(const char *text, int64_t bytes) {
    Pattern *pattern = create();
    pattern->string = malloc((size_t)bytes);
    CHECK_MEMORY(pattern->string, "no memory for a pattern of %lld bytes", (long long)bytes);
    memcpy(pattern->string, text, (size_t)bytes);
    pattern->bytes = bytes;
    return pattern;
}

/* Compiles an expression with Oniguruma's rules: ^ and $ match at every line, and only \n ends a line. NULL, with the
 * reason, if it cannot be compiled. */
static Pattern *compile(const char *text, size_t bytes, char reason[256]) {
    int error;
    PCRE2_SIZE offset;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    CHECK_MEMORY(context, "no memory for a pattern");
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_code *expression =
        pcre2_compile((PCRE2_SPTR)text, bytes, PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &offset, context);
    pcre2_compile_context_free(context);
    if (!expression) {
        pcre2_get_error_message(error, (PCRE2_UCHAR *)reason, 256);
        return NULL;
    }
    Pattern *pattern = create();
    pattern->expression = expression;
    pattern->compiled = pcre2_jit_compile(expression, PCRE2_JIT_COMPLETE) == 0;
    return pattern;
}

static Status read_expression(const Fields *fields, const json_t *text, Pattern **pattern) {
    char reason[256];
    char *translated = dialect_translate(json_string_value(text), (int64_t)json_string_length(text), reason);
    if (translated) *pattern = compile(translated, strlen(translated), reason);
    free(translated);
    if (*pattern) return OK;
    return fields_refuse(fields, "the regular expression %.200s cannot be used: %s", json_string_value(text), reason);
}

Status pattern_read(const Fields *fields, Pattern **pattern) {
    const json_t *object = json_object_get(fields->object, "pattern");
    const json_t *string = json_object_get(object, "String"), *expression = json_object_get(object, "Regex");
    *pattern = NULL;
    if (json_is_string(expression)) return read_expression(fields, expression, pattern);
    if (!json_is_string(string) || json_string_length(string) == 0)
        return fields_refuse(fields, "\"pattern\" must have a \"String\" or a \"Regex\"");
    *pattern = string_pattern(json_string_value(string), (int64_t)json_string_length(string));
    return OK;
}

Pattern *pattern_own(const char *expression) {
    char reason[256] = "";
    char *translated = dialect_translate(expression, (int64_t)strlen(expression), reason);
    Pattern *pattern = translated ? compile(translated, strlen(translated), reason) : NULL;
    CHECK(pattern, "%s: %s", expression, reason);
    free(translated);
    return pattern;
}

static const char *find_string(const char *text, int64_t bytes, const char *string, int64_t length) {
    while (bytes >= length) {
        const char *at = memchr(text, string[0], (size_t)(bytes - length + 1));
        if (!at || memcmp(at, string, (size_t)length) == 0) return at;
        bytes -= at + 1 - text;
        text = at + 1;
    }
    return NULL;
}

static Status match_error(PatternRoom *room, int error) {
    char what[100];
    pcre2_get_error_message(error, (PCRE2_UCHAR *)what, sizeof what);
    snprintf(room->reason, sizeof room->reason, "the tokenizer's regular expression cannot be matched: %s", what);
    return BAD_INPUT;
}

/* If the machine code runs out of its stack, the interpreter, which uses the heap, matches instead. */
static int match_expression(const Pattern *pattern, PatternRoom *room, const char *text, int64_t bytes, int64_t from) {
    int result = PCRE2_ERROR_JIT_STACKLIMIT;
    if (!room->data) room->data = pcre2_match_data_create(1, NULL);
    CHECK_MEMORY(room->data, "no memory for matching");
    if (pattern->compiled)
        result =
            pcre2_jit_match(pattern->expression, (PCRE2_SPTR)text, (size_t)bytes, (size_t)from, 0, room->data, NULL);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT)
        result = pcre2_match(pattern->expression, (PCRE2_SPTR)text, (size_t)bytes, (size_t)from,
                             PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, room->data, NULL);
    return result;
}

Status pattern_find(const Pattern *pattern, PatternRoom *room, const char *text, int64_t bytes, int64_t from,
                    bool *found, PatternMatch *match) {
    if (!pattern->expression) {
        const char *at = find_string(text + from, bytes - from, pattern->string, pattern->bytes);
        *found = at != NULL;
        if (at) *match = (PatternMatch){at - text, at - text + pattern->bytes};
        return OK;
    }
    const int result = match_expression(pattern, room, text, bytes, from);
    *found = result >= 0;
    if (result == PCRE2_ERROR_NOMATCH) return OK;
    if (result < 0) return match_error(room, result);
    const PCRE2_SIZE *place = pcre2_get_ovector_pointer(room->data);
    *match = (PatternMatch){(int64_t)place[0], (int64_t)place[1]};
    return OK;
}
