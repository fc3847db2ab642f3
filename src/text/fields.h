/* Reads the parts of a tokenizer.json. Every error is logged once, with the file, the part and the key. */
#ifndef FLAME_TEXT_FIELDS_H
#define FLAME_TEXT_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"

/* An object of the file, and what messages call it. */
typedef struct Fields {
    const char *path;
    const char *part; /* "pre_tokenizer" */
    const char *type; /* its "type", "" where it has none */
    const json_t *object;
} Fields;

/* Opens the value of the key `part` of the file. BAD_INPUT if it is not an object, or has no "type". */
Status fields_open(const char *path, const char *part, const json_t *object, Fields *fields);
/* Logs "PATH: pre_tokenizer Split: ..." and returns BAD_INPUT. */
Status fields_refuse(const Fields *fields, const char *format, ...) __attribute__((format(printf, 2, 3)));

typedef enum Presence { REQUIRED, OPTIONAL } Presence; /* OPTIONAL: a missing or null key leaves *value unchanged */

Status fields_flag(const Fields *fields, const char *key, Presence presence, bool *value);
/* An integer from 0 to `largest`. */
Status fields_count(const Fields *fields, const char *key, Presence presence, int64_t largest, int64_t *value);
/* The text is borrowed from the file and may contain zero bytes. */
Status fields_text(const Fields *fields, const char *key, Presence presence, const char **text, int64_t *bytes);
/* A text of exactly one character. */
Status fields_character(const Fields *fields, const char *key, Presence presence, uint32_t *character);
/* The position of the text in `words`, which ends with NULL. */
Status fields_choice(const Fields *fields, const char *key, Presence presence, const char *const *words, int *choice);
/* A list, or NULL. */
Status fields_list(const Fields *fields, const char *key, Presence presence, const json_t **list);

#endif
