/* Parses JSON with jansson. Like Python's json module it accepts bare Infinity, -Infinity and NaN. Newer releases of
 * transformers write {"__float__": "Infinity"} instead, which is read as the same number. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "config/config_value.h"

static const char *const specials[] = {"-Infinity", "Infinity", "NaN"};
static const double special_values[] = {-INFINITY, INFINITY, NAN};

/* Copies the text and replaces each bare special number by {"__float__": ...}, keeping line numbers. */
static char *spell_specials(const char *text, size_t bytes, size_t *new_bytes) {
    char *spelled = malloc(bytes * 8 + 1); /* NaN: 3 bytes become 19 */
    CHECK_MEMORY(spelled, "no memory to read JSON");
    size_t used = 0;
    bool in_string = false;
    for (size_t i = 0; i < bytes;) {
        size_t length = 0;
        for (int s = 0; s < 3 && !in_string && !length; s++) {
            const size_t n = strlen(specials[s]);
            if (bytes - i < n || memcmp(text + i, specials[s], n) != 0) continue;
            used += (size_t)sprintf(spelled + used, "{\"__float__\":\"%s\"}", specials[s]);
            length = n;
        }
        if (length) {
            i += length;
            continue;
        }
        if (text[i] == '"') in_string = !in_string;
        if (in_string && text[i] == '\\' && i + 1 < bytes) spelled[used++] = text[i++];
        spelled[used++] = text[i++];
    }
    *new_bytes = used;
    return spelled;
}

/* jansson does not report line numbers. So while its tree is traversed, this cursor moves from value to value through
 * the text, which is known to be valid. */
typedef struct Cursor {
    const char *at, *end;
    int line;
    const char *file;
    Status status;
} Cursor;

static void skip_to_token(Cursor *cursor) {
    for (; cursor->at < cursor->end && strchr(" \t\r\n,:]}", *cursor->at); cursor->at++)
        if (*cursor->at == '\n') cursor->line++;
}

static void skip_scalar(Cursor *cursor) {
    if (*cursor->at != '"') {
        while (cursor->at < cursor->end && !strchr(" \t\r\n,:]}", *cursor->at)) cursor->at++;
        return;
    }
    for (cursor->at++; cursor->at < cursor->end && *cursor->at != '"'; cursor->at++)
        if (*cursor->at == '\\') cursor->at++;
    cursor->at++;
}

static ConfigValue *from_json(Cursor *cursor, const json_t *json, int depth);

/* Whether the object is {"__float__": TEXT} with a known text; *number receives its value. */
static bool special_number(const json_t *json, double *number) {
    const char *text = json_string_value(json_object_get(json, "__float__"));
    if (!text || json_object_size(json) != 1) return false;
    for (int s = 0; s < 3; s++) {
        if (strcmp(text, specials[s]) != 0) continue;
        *number = special_values[s];
        return true;
    }
    return false;
}

static void read_items(Cursor *cursor, const json_t *json, ConfigValue *value, int depth) {
    cursor->at++; /* the opening bracket */
    const char *key = NULL;
    json_t *item = NULL;
    size_t index = 0;
    if (json_is_array(json)) {
        json_array_foreach(json, index, item) config_value_append(value, from_json(cursor, item, depth + 1));
        return;
    }
    if (json_object_size(json) > MAPPING_KEYS && cursor->status == OK)
        cursor->status = config_error(value, "more than %d keys in one mapping", MAPPING_KEYS);
    json_object_foreach((json_t *)json, key, item) {
        if (cursor->status != OK) return;
        skip_to_token(cursor);
        const int line = cursor->line;
        if (strlen(key) > KEY_BYTES)
            cursor->status = config_error(value, "key %.40s... has %zu bytes; at most %d", key, strlen(key), KEY_BYTES);
        skip_scalar(cursor);
        ConfigValue *member = from_json(cursor, item, depth + 1);
        config_value_set(value, key, member);
        member->key_line = line;
    }
}

static ConfigValue *from_json(Cursor *cursor, const json_t *json, int depth) {
    static const ValueType types[] = {
        [JSON_OBJECT] = VALUE_MAPPING,  [JSON_ARRAY] = VALUE_LIST, [JSON_STRING] = VALUE_STRING,
        [JSON_INTEGER] = VALUE_INTEGER, [JSON_REAL] = VALUE_REAL,  [JSON_TRUE] = VALUE_BOOL,
        [JSON_FALSE] = VALUE_BOOL,      [JSON_NULL] = VALUE_NULL};
    skip_to_token(cursor);
    ConfigValue *value = config_value_new(types[json_typeof(json)], cursor->file, cursor->line);
    value->boolean = json_is_true(json);
    value->integer = json_integer_value(json);
    value->real = json_number_value(json);
    if (json_is_string(json)) {
        value->quoted = true;
        value->text = strdup(json_string_value(json));
        CHECK_MEMORY(value->text, "no memory to read JSON");
    }
    if (depth > CONFIG_DEPTH && cursor->status == OK)
        cursor->status = config_error(value, "is nested deeper than %d", CONFIG_DEPTH);
    if (cursor->status == OK && (json_is_array(json) || json_is_object(json)))
        read_items(cursor, json, value, depth);
    else
        skip_scalar(cursor);
    double number = 0;
    if (value->type == VALUE_MAPPING && special_number(json, &number)) {
        while (value->count > 0) config_value_free(value->item[--value->count]);
        value->type = VALUE_REAL;
        value->real = number;
    }
    return value;
}

Status config_value_read_json(const char *name, const char *text, size_t bytes, ConfigValue **value) {
    Status status = config_text_check(name, &text, &bytes);
    if (status != OK) return status;
    size_t spelled_bytes = 0;
    char *spelled = spell_specials(text, bytes, &spelled_bytes);
    json_error_t error;
    json_t *json = json_loadb(spelled, spelled_bytes, JSON_REJECT_DUPLICATES, &error);
    if (!json) {
        const ConfigValue where = {.file = (char *)name, .line = error.line > 0 ? error.line : 0};
        status = config_error(&where, "is not JSON: %s", error.text);
        free(spelled);
        return status;
    }
    Cursor cursor = {.at = spelled, .end = spelled + spelled_bytes, .line = 1, .file = name};
    ConfigValue *root = from_json(&cursor, json, 1);
    json_decref(json);
    free(spelled);
    if (cursor.status != OK) {
        config_value_free(root);
        return cursor.status;
    }
    *value = root;
    return OK;
}
