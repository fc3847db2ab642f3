#include "config/config_value.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/number.h"

static void *allocate(size_t bytes) {
    void *memory = calloc(1, bytes ? bytes : 1);
    CHECK_MEMORY(memory, "no memory for %zu bytes of configuration", bytes);
    return memory;
}

static char *copy_text(const char *text) {
    if (!text) return NULL;
    const size_t bytes = strlen(text) + 1;
    return memcpy(allocate(bytes), text, bytes);
}

ConfigValue *config_value_new(ValueType type, const char *file, int line) {
    ConfigValue *value = allocate(sizeof *value);
    value->type = type;
    value->file = copy_text(file);
    value->line = line;
    return value;
}

ConfigValue *config_value_string(const char *text, const char *file, int line) {
    ConfigValue *value = config_value_new(VALUE_STRING, file, line);
    value->quoted = true;
    value->text = copy_text(text);
    return value;
}

static bool one_of(const char *text, const char *const *words) {
    for (; *words; words++)
        if (strcmp(text, *words) == 0) return true;
    return false;
}

static void resolve(ConfigValue *value) {
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};
    static const char *const infinities[] = {".inf", ".Inf", ".INF", "Infinity", NULL};
    static const char *const nans[] = {".nan", ".NaN", ".NAN", "NaN", NULL};
    const char *text = value->text;
    if (one_of(text, nulls)) {
        value->type = VALUE_NULL;
    } else if (one_of(text, trues) || one_of(text, falses)) {
        value->type = VALUE_BOOL;
        value->boolean = text[0] == 't' || text[0] == 'T';
    } else if (number_is_integer(text)) {
        value->type = number_to_integer(text, &value->integer) ? VALUE_INTEGER : VALUE_REAL;
        value->real = value->type == VALUE_INTEGER ? (double)value->integer : number_to_real(text);
    } else if (number_is_real(text)) {
        value->type = VALUE_REAL;
        value->real = number_to_real(text);
    } else if (one_of(text + (text[0] == '-'), infinities) || one_of(text, nans)) {
        value->type = VALUE_REAL;
        value->real = one_of(text, nans) ? NAN : text[0] == '-' ? -INFINITY : INFINITY;
    }
}

ConfigValue *config_value_plain(const char *text, const char *file, int line) {
    ConfigValue *value = config_value_string(text, file, line);
    value->quoted = false;
    resolve(value);
    return value;
}

void config_value_free(ConfigValue *value) {
    if (!value) return;
    for (int i = 0; i < value->count; i++) config_value_free(value->item[i]);
    free(value->item);
    free(value->file);
    free(value->key);
    free(value->text);
    free(value);
}

ConfigValue *config_value_copy(const ConfigValue *value) {
    ConfigValue *copy = allocate(sizeof *copy);
    *copy = *value;
    copy->file = copy_text(value->file);
    copy->key = copy_text(value->key);
    copy->text = copy_text(value->text);
    copy->item = NULL;
    copy->count = 0;
    for (int i = 0; i < value->count; i++) config_value_append(copy, config_value_copy(value->item[i]));
    return copy;
}

static bool is_number(const ConfigValue *value) { return value->type == VALUE_INTEGER || value->type == VALUE_REAL; }

bool config_value_same(const ConfigValue *a, const ConfigValue *b) {
    if (a->type == VALUE_INTEGER && b->type == VALUE_INTEGER) return a->integer == b->integer;
    if (is_number(a) && is_number(b)) return a->real == b->real || (isnan(a->real) && isnan(b->real));
    if (a->type != b->type || a->count != b->count) return false;
    if (a->type == VALUE_BOOL) return a->boolean == b->boolean;
    if (a->type == VALUE_STRING) return strcmp(a->text, b->text) == 0;
    for (int i = 0; i < a->count; i++) {
        const ConfigValue *other = a->type == VALUE_MAPPING ? config_value_get(b, a->item[i]->key) : b->item[i];
        if (!other || !config_value_same(a->item[i], other)) return false;
    }
    return true;
}

void config_value_append(ConfigValue *list, ConfigValue *item) {
    const int count = list->count;
    if ((count & (count - 1)) == 0) { /* a power of two: full */
        list->item = realloc(list->item, sizeof *list->item * (size_t)(count ? 2 * count : 1));
        CHECK_MEMORY(list->item, "no memory for a list of %d values", count);
    }
    list->item[list->count++] = item;
}

const ConfigValue *config_value_get(const ConfigValue *mapping, const char *key) {
    if (!mapping || mapping->type != VALUE_MAPPING) return NULL;
    for (int i = 0; i < mapping->count; i++)
        if (strcmp(mapping->item[i]->key, key) == 0) return mapping->item[i];
    return NULL;
}

void config_value_set(ConfigValue *mapping, const char *key, ConfigValue *value) {
    CHECK(mapping->type == VALUE_MAPPING, "key %s set in a %s", key, value_type_name(mapping->type));
    char *name = copy_text(key);
    free(value->key);
    value->key = name;
    for (int i = 0; i < mapping->count; i++) {
        if (strcmp(mapping->item[i]->key, name) != 0) continue;
        config_value_free(mapping->item[i]);
        mapping->item[i] = value;
        return;
    }
    config_value_append(mapping, value);
}

const char *value_type_name(ValueType type) {
    static const char *const names[] = {"null", "boolean", "integer", "real number", "string", "list", "mapping"};
    return names[type];
}

Status config_error(const ConfigValue *where, const char *format, ...) {
    const bool command_line = where && where->file && strcmp(where->file, COMMAND_LINE) == 0;
    const Status status = command_line ? USAGE : BAD_INPUT;
    char message[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (!where || !where->file)
        log_error("%s", message);
    else if (where->line == 0 || command_line)
        log_error("%s: %s", where->file, message);
    else
        log_error("%s:%d: %s", where->file, where->line, message);
    return status;
}

Status config_text_check(const char *name, const char **text, size_t *bytes) {
    const unsigned char *b = (const unsigned char *)*text;
    const ConfigValue where = {.file = (char *)name};
    if (*bytes > CONFIG_BYTES) return config_error(&where, "is larger than 1 MiB, which no configuration needs");
    if (*bytes >= 2 && ((b[0] == 0xff && b[1] == 0xfe) || (b[0] == 0xfe && b[1] == 0xff)))
        return config_error(&where, "is UTF-16; save it as UTF-8");
    if (memchr(*text, 0, *bytes)) return config_error(&where, "holds a NUL byte; a configuration is UTF-8 text");
    if (*bytes >= 3 && memcmp(b, "\xef\xbb\xbf", 3) == 0) {
        *text += 3;
        *bytes -= 3;
    }
    return OK;
}
