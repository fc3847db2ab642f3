#include "text/fields.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "text/utf8.h"

Status fields_refuse(const Fields *fields, const char *format, ...) {
    char reason[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    log_error("%s: %s%s%.100s: %s", fields->path, fields->part, *fields->type ? " " : "", fields->type, reason);
    return BAD_INPUT;
}

Status fields_open(const char *path, const char *part, const json_t *object, Fields *fields) {
    *fields = (Fields){.path = path, .part = part, .type = "", .object = object};
    const json_t *type = json_object_get(object, "type");
    if (!json_is_object(object)) return fields_refuse(fields, "it must be an object");
    if (!json_is_string(type)) return fields_refuse(fields, "it has no \"type\"");
    fields->type = json_string_value(type);
    return OK;
}

/* The value of a key; NULL where it is missing or null, which is an error (*status) if it is required. */
static const json_t *find(const Fields *fields, const char *key, Presence presence, Status *status) {
    const json_t *value = json_object_get(fields->object, key);
    *status = OK;
    if (value && !json_is_null(value)) return value;
    if (presence == REQUIRED) *status = fields_refuse(fields, "\"%s\" is missing", key);
    return NULL;
}

Status fields_flag(const Fields *fields, const char *key, Presence presence, bool *value) {
    Status status;
    const json_t *found = find(fields, key, presence, &status);
    if (!found) return status;
    if (!json_is_boolean(found)) return fields_refuse(fields, "\"%s\" must be true or false", key);
    *value = json_is_true(found);
    return OK;
}

Status fields_count(const Fields *fields, const char *key, Presence presence, int64_t largest, int64_t *value) {
    Status status;
    const json_t *found = find(fields, key, presence, &status);
    if (!found) return status;
    if (!json_is_integer(found) || json_integer_value(found) < 0 || json_integer_value(found) > largest)
        return fields_refuse(fields, "\"%s\" must be an integer from 0 to %" PRId64, key, largest);
    *value = json_integer_value(found);
    return OK;
}

Status fields_text(const Fields *fields, const char *key, Presence presence, const char **text, int64_t *bytes) {
    Status status;
    const json_t *found = find(fields, key, presence, &status);
    if (!found) return status;
    if (!json_is_string(found)) return fields_refuse(fields, "\"%s\" must be a text", key);
    *text = json_string_value(found);
    *bytes = (int64_t)json_string_length(found);
    return OK;
}

Status fields_character(const Fields *fields, const char *key, Presence presence, uint32_t *character) {
    const char *text = NULL;
    int64_t bytes = 0;
    const Status status = fields_text(fields, key, presence, &text, &bytes);
    if (status || !text) return status;
    const char *end = text;
    if (bytes > 0) *character = utf8_next(&end);
    return end - text == bytes && bytes > 0 ? OK : fields_refuse(fields, "\"%s\" must be one character", key);
}

Status fields_choice(const Fields *fields, const char *key, Presence presence, const char *const *words, int *choice) {
    const char *text = NULL;
    int64_t bytes = 0;
    const Status status = fields_text(fields, key, presence, &text, &bytes);
    if (status || !text) return status;
    for (int i = 0; words[i]; i++) {
        if (strcmp(words[i], text) != 0) continue;
        *choice = i;
        return OK;
    }
    return fields_refuse(fields, "\"%s\" is \"%.100s\", which this program does not know", key, text);
}

Status fields_list(const Fields *fields, const char *key, Presence presence, const json_t **list) {
    Status status;
    *list = find(fields, key, presence, &status);
    if (*list && !json_is_array(*list)) return fields_refuse(fields, "\"%s\" must be a list", key);
    return status;
}
