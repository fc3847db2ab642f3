#include "config/keys.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/number.h"

/* The key that is being set, and its new value. */
typedef struct Place {
    const Key *key;
    char name[160]; /* with its section: "training.steps" */
    const ConfigValue *value;
} Place;

KeyType key_type(const Key *key) { return key->type & ~(KEY_NULLABLE | KEY_SCALAR | KEY_INERT | KEY_AUTO); }
bool key_has_field(const Key *key) { return key_type(key) != KEY_IGNORED && key_type(key) != KEY_FIXED; }
static bool nullable(const Key *key) { return (key->type & KEY_NULLABLE) != 0; }
static bool automatic(const Key *key) { return (key->type & KEY_AUTO) != 0; }

typedef struct Shown {
    char text[96];
} Shown;

/* Shortens text from the user for a message: the first characters, without control characters. */
static Shown shown(const char *text) {
    Shown result = {""};
    const size_t room = sizeof result.text - 4;
    size_t length = strnlen(text, room + 1);
    const bool cut = length > room;
    if (cut) length = room;
    for (size_t i = 0; i < length; i++) result.text[i] = iscntrl((unsigned char)text[i]) ? '?' : text[i];
    if (cut) strcpy(result.text + length, "...");
    return result;
}

static Shown shown_value(const ConfigValue *value) {
    if (value->text) return shown(value->text);
    if (value->type == VALUE_INTEGER || value->type == VALUE_REAL) {
        Shown result = {""};
        number_format(value->real, result.text);
        if (value->type == VALUE_INTEGER) snprintf(result.text, sizeof result.text, "%lld", (long long)value->integer);
        return result;
    }
    if (value->type == VALUE_BOOL) return shown(value->boolean ? "true" : "false");
    return shown(value->type == VALUE_LIST ? "a list" : value->type == VALUE_MAPPING ? "a mapping" : "null");
}

static const char *kind(const Key *key) {
    static const char *const kinds[] = {"an integer", "a number",           "true or false",     "a string",
                                        "a word",     "a list of integers", "a list of numbers", "a list of strings"};
    return key_type(key) < KEY_VALUE ? kinds[key_type(key)] : "a value";
}

static Status refuse_type(const Place *place, const ConfigValue *value, const char *hint) {
    char wanted[96];
    snprintf(wanted, sizeof wanted, "%s%s%s", kind(place->key), automatic(place->key) ? " or auto" : "",
             nullable(place->key) ? " or null" : "");
    return config_error(value, "%s must be %s, not %s%s%s", place->name, wanted, shown_value(value).text,
                        hint ? ": " : "", hint ? hint : "");
}

static bool has_range(const Key *key) { return key->low != 0 || key->high != 0; }

void key_range(const Key *key, char text[96]) {
    char low[NUMBER_TEXT], high[NUMBER_TEXT];
    number_format(key->low, low);
    number_format(key->high, high);
    if (isinf(key->high))
        snprintf(text, 96, "at least %s", low);
    else if (isinf(key->low))
        snprintf(text, 96, "at most %s", high);
    else
        snprintf(text, 96, "%s to %s", low, high);
}

static bool in_range(const Key *key, double value) {
    return !has_range(key) || (value >= key->low && value <= key->high);
}

static Status check_range(const Place *place, const ConfigValue *value) {
    const Key *key = place->key;
    if (in_range(key, value->real)) return OK;
    char range[96];
    key_range(key, range);
    return config_error(value, "%s is %s, which is out of range: %s", place->name, shown_value(value).text, range);
}

static Status read_integer(const Place *place, const ConfigValue *value, int64_t *result) {
    if (value->type == VALUE_STRING && (number_is_integer(value->text) || number_is_real(value->text)))
        return refuse_type(place, value, "write the number without quotes");
    if (value->type == VALUE_REAL && value->text && number_is_integer(value->text))
        return config_error(value, "%s is %s, which does not fit in 64 bits", place->name, shown_value(value).text);
    if (value->type == VALUE_REAL) return refuse_type(place, value, "write it without a point or exponent");
    if (value->type != VALUE_INTEGER) return refuse_type(place, value, NULL);
    const Status status = check_range(place, value);
    if (status == OK) *result = value->integer;
    return status;
}

static Status read_real(const Place *place, const ConfigValue *value, double *result) {
    if (value->type == VALUE_STRING && (number_is_integer(value->text) || number_is_real(value->text)))
        return refuse_type(place, value, "write the number without quotes");
    if (value->type != VALUE_INTEGER && value->type != VALUE_REAL) return refuse_type(place, value, NULL);
    if (isinf(value->real) && value->text && strpbrk(value->text, "0123456789"))
        return config_error(value, "%s is %s, which is too large", place->name, shown_value(value).text);
    const bool infinity_allowed = has_range(place->key) &&
                                  isinf(value->real > 0 ? place->key->high : place->key->low) &&
                                  place->key->low != place->key->high;
    if (isnan(value->real) || (isinf(value->real) && !infinity_allowed))
        return refuse_type(place, value, "it must be finite");
    const Status status = check_range(place, value);
    if (status == OK) *result = value->real;
    return status;
}

/* Accepts YAML numbers and booleans too, and takes them as the text that was written. */
static Status read_string(const Place *place, const ConfigValue *value, char **result) {
    if (!value->text || value->type == VALUE_NULL || value->type == VALUE_LIST || value->type == VALUE_MAPPING) {
        return refuse_type(place, value, NULL);
    }
    *result = strdup(value->text);
    CHECK_MEMORY(*result, "no memory for %s", place->name);
    return OK;
}

bool keys_is_choice(const char *choices, const char *text) {
    const size_t length = strlen(text);
    for (const char *c = choices; c; c = strchr(c, '|') ? strchr(c, '|') + 1 : NULL)
        if (length > 0 && !strchr(text, '|') && strncmp(c, text, length) == 0 && (c[length] == '|' || c[length] == 0))
            return true;
    return false;
}

static Status read_choice(const Place *place, const ConfigValue *value, char **result) {
    char *text = NULL;
    const Status status = read_string(place, value, &text);
    if (status != OK) return status;
    if (keys_is_choice(place->key->choices, text)) {
        *result = text;
        return OK;
    }
    free(text);
    return config_error(value, "%s is %s; it must be one of %s", place->name, shown_value(value).text,
                        place->key->choices);
}

static void free_field(const Key *key, void *field) {
    if (key_type(key) == KEY_STRING || key_type(key) == KEY_CHOICE) {
        free(*(char **)field);
        *(char **)field = NULL;
    } else if (key_type(key) == KEY_STRING_LIST) {
        StringList *list = field;
        for (int64_t i = 0; i < list->count; i++) free(list->item[i]);
        free(list->item);
        *list = (StringList){0, NULL};
    } else if (key_type(key) == KEY_INTEGER_LIST) {
        free(((IntegerList *)field)->item);
        *(IntegerList *)field = (IntegerList){0, NULL};
    } else if (key_type(key) == KEY_REAL_LIST) {
        free(((RealList *)field)->item);
        *(RealList *)field = (RealList){0, NULL};
    }
}

/* Reads a list, or one item without brackets. Stops at the first invalid item; the items before it are stored, so that
 * free_field frees them. */
static Status read_list(const Place *place, void *field) {
    const ConfigValue *value = place->value;
    const bool list = value->type == VALUE_LIST;
    const int count = list ? value->count : 1;
    static const size_t sizes[] = {
        [KEY_INTEGER_LIST] = sizeof(int64_t), [KEY_REAL_LIST] = sizeof(double), [KEY_STRING_LIST] = sizeof(char *)};
    const KeyType type = key_type(place->key);
    if (value->type == VALUE_MAPPING) return refuse_type(place, place->value, NULL);
    void *items = count ? calloc((size_t)count, sizes[type]) : NULL;
    CHECK_MEMORY(items || !count, "no memory for %s", place->name);
    Status status = OK;
    int64_t read = 0;
    for (; read < count && status == OK; read += status == OK) {
        const ConfigValue *item = list ? value->item[read] : value;
        if (type == KEY_INTEGER_LIST) status = read_integer(place, item, (int64_t *)items + read);
        if (type == KEY_REAL_LIST) status = read_real(place, item, (double *)items + read);
        if (type == KEY_STRING_LIST) status = read_string(place, item, (char **)items + read);
    }
    free_field(place->key, field);
    if (type == KEY_INTEGER_LIST) *(IntegerList *)field = (IntegerList){read, items};
    if (type == KEY_REAL_LIST) *(RealList *)field = (RealList){read, items};
    if (type == KEY_STRING_LIST) *(StringList *)field = (StringList){read, items};
    return status;
}

static Status set_null(const Place *place, void *field) {
    const KeyType type = key_type(place->key);
    if (type != KEY_VALUE && (!nullable(place->key) || type == KEY_BOOLEAN))
        return refuse_type(place, place->value, NULL);
    free_field(place->key, field);
    if (type == KEY_INTEGER) *(int64_t *)field = -1;
    if (type == KEY_REAL) *(double *)field = NAN;
    if (type == KEY_VALUE) *(const ConfigValue **)field = NULL;
    return OK;
}

static Status check_fixed(const Place *place) {
    const char *text = place->key->default_text;
    ConfigValue *supported = NULL;
    CHECK(config_value_read_yaml("default", text, strlen(text), &supported) == OK, "%s", place->key->name);
    const bool same = config_value_same(place->value, supported);
    config_value_free(supported);
    if (same || (nullable(place->key) && place->value->type == VALUE_NULL)) return OK;
    return config_error(place->value, "%s is %s; only %s is supported (%s)", place->name,
                        shown_value(place->value).text, text, place->key->doc);
}

static Status set_field(const Place *place, void *values) {
    const Key *key = place->key;
    const ConfigValue *value = place->value;
    if (key_type(key) == KEY_FIXED) return check_fixed(place);
    if (key_type(key) == KEY_IGNORED || !values) return OK;
    void *field = (char *)values + key->offset;
    if (value->type == VALUE_NULL) return set_null(place, field);
    char *text = NULL;
    Status status = OK;
    switch (key_type(key)) {
    case KEY_INTEGER:
        if (automatic(key) && value->type == VALUE_STRING && strcmp(value->text, "auto") == 0) {
            *(int64_t *)field = -1;
            return OK;
        }
        return read_integer(place, value, field);
    case KEY_REAL:
        return read_real(place, value, field);
    case KEY_BOOLEAN:
        if (value->type != VALUE_BOOL) return refuse_type(place, place->value, NULL);
        *(bool *)field = value->boolean;
        return OK;
    case KEY_STRING:
        status = read_string(place, value, &text);
        break;
    case KEY_CHOICE:
        status = read_choice(place, value, &text);
        break;
    case KEY_VALUE:
        *(const ConfigValue **)field = value;
        return OK;
    default:
        return read_list(place, field);
    }
    if (status != OK) return status;
    free_field(key, field);
    *(char **)field = text;
    return OK;
}

/* Sets a field to the default of its key. A default that cannot be parsed is a bug of the table: CHECK. */
static void set_default(const Key *key, void *values) {
    if (!key_has_field(key)) return;
    void *field = (char *)values + key->offset;
    if (key_type(key) == KEY_VALUE) {
        *(const ConfigValue **)field = NULL;
        return;
    }
    if (key_type(key) >= KEY_INTEGER_LIST) *(StringList *)field = (StringList){0, NULL};
    if (key_type(key) == KEY_STRING || key_type(key) == KEY_CHOICE) *(char **)field = NULL;
    const char *text = key->default_text ? key->default_text : "null";
    ConfigValue *value = NULL;
    if (key_type(key) >= KEY_INTEGER_LIST && text[0] == '[')
        CHECK(config_value_read_yaml("default", text, strlen(text), &value) == OK, "%s", key->name);
    else if (key_type(key) == KEY_STRING && strcmp(text, "null") != 0)
        value = config_value_string(text, "default", 0);
    else
        value = config_value_plain(text, "default", 0);
    const Key unchecked = {.name = key->name,
                           .type = key->type | KEY_NULLABLE,
                           .low = -INFINITY,
                           .high = INFINITY,
                           .choices = key->choices,
                           .offset = key->offset};
    Place place = {.key = &unchecked, .value = value};
    snprintf(place.name, sizeof place.name, "%s", key->name);
    CHECK(set_field(&place, values) == OK, "default of %s", key->name);
    config_value_free(value);
}

void keys_defaults(const KeyTable *tables, int count) {
    for (int t = 0; t < count; t++)
        for (int k = 0; k < tables[t].count && tables[t].values; k++) set_default(&tables[t].keys[k], tables[t].values);
}

void keys_free(const KeyTable *tables, int count) {
    for (int t = 0; t < count; t++)
        for (int k = 0; k < tables[t].count && tables[t].values; k++)
            if (key_has_field(&tables[t].keys[k]))
                free_field(&tables[t].keys[k], (char *)tables[t].values + tables[t].keys[k].offset);
}

const Key *keys_find(const KeyTable *tables, int count, const char *name) {
    for (int t = 0; t < count; t++)
        for (int k = 0; k < tables[t].count; k++)
            if (strcmp(tables[t].keys[k].name, name) == 0) return &tables[t].keys[k];
    return NULL;
}

static void full_name(char name[160], const char *section, const char *key) {
    snprintf(name, 160, "%s%s%s", section && *section ? section : "", section && *section ? "." : "", shown(key).text);
}

const RetiredKey *keys_retired(const KeyHints *hints, const char *name) {
    for (int r = 0; hints && r < hints->retired_count; r++) {
        const char *known = hints->retired[r].name, *star = strchr(known, '*');
        if (star ? strncmp(known, name, (size_t)(star - known)) == 0 : strcmp(known, name) == 0)
            return &hints->retired[r];
    }
    return NULL;
}

#define CONVERTER " (flame-c from-flame converts a whole command line of flame)"

/* If `name` is a retired key of flame, or a section of flame whose first key is one, logs what to do instead and
 * returns true. */
static bool refuse_retired(const ConfigValue *value, const char *name, const KeyHints *hints) {
    char full[160];
    const RetiredKey *retired = keys_retired(hints, name);
    snprintf(full, sizeof full, "%s", name);
    if (!retired && !strchr(name, '.')) {
        const bool empty = value->type != VALUE_MAPPING || value->count == 0;
        snprintf(full, sizeof full, "%.60s.%.90s", name, empty ? "" : value->item[0]->key);
        retired = keys_retired(hints, full);
        if (empty)
            full[strlen(full) - 1] = 0;
        else
            value = value->item[0];
    }
    if (!retired) return false;
    const ConfigValue where = {.file = value->file, .line = value->key_line ? value->key_line : value->line};
    const char *advice = retired->advice;
    if (retired->now)
        config_error(&where, "%s is called %s here%s%s" CONVERTER, full, retired->now, advice ? "; " : "",
                     advice ? advice : "");
    else
        config_error(&where, "%s is a key of flame that has no use here: %s" CONVERTER, full, advice);
    return true;
}

static Status refuse_unknown(const KeyTable *tables, int count, const ConfigValue *value, const char *section,
                             const KeyHints *hints) {
    char name[160], near[160] = "";
    full_name(name, section, value->key);
    const ConfigValue where = {.file = value->file, .line = value->key_line ? value->key_line : value->line};
    if (refuse_retired(value, name, hints)) return strcmp(where.file, COMMAND_LINE) == 0 ? USAGE : BAD_INPUT;
    const char *nearest = keys_nearest(tables, count, value->key);
    if (nearest) full_name(near, section, nearest);
    for (int t = 0; hints && t < hints->table_count; t++)
        if (keys_find(&hints->tables[t], 1, value->key)) full_name(near, hints->tables[t].section, value->key);
    if (hints && hints->mixer && hints->other_mixer_has(value->key))
        return config_error(&where, "unknown key %s: other mixers have it, %s does not; see flame-c train --help=%s",
                            name, hints->mixer, hints->mixer);
    if (near[0]) return config_error(&where, "unknown key %s; did you mean %s?", name, near);
    char known[512] = "";
    for (int t = 0; t < count; t++)
        for (int k = 0; k < tables[t].count; k++) {
            if (!key_has_field(&tables[t].keys[k])) continue;
            const size_t used = strlen(known);
            snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", tables[t].keys[k].name);
        }
    return config_error(&where, "unknown key %s; known: %s%s", name, known,
                        strlen(known) == sizeof known - 1 ? "..." : "");
}

Status keys_apply(const KeyTable *tables, int count, const ConfigValue *mapping, const char *section,
                  const KeyHints *hints) {
    if (!mapping || mapping->type == VALUE_NULL) return OK;
    if (mapping->type != VALUE_MAPPING)
        return config_error(mapping, "%s must be a mapping of keys to values, not %s",
                            section && *section ? section : "the file", shown_value(mapping).text);
    for (int i = 0; i < mapping->count; i++) {
        const ConfigValue *value = mapping->item[i];
        if (!keys_find(tables, count, value->key)) return refuse_unknown(tables, count, value, section, hints);
        for (int t = 0; t < count; t++) {
            Place place = {.key = keys_find(&tables[t], 1, value->key), .value = value};
            full_name(place.name, section, value->key);
            const Status status = place.key ? set_field(&place, tables[t].values) : OK;
            if (status != OK) return status;
        }
    }
    return OK;
}

Status keys_check(const KeyTable *table) {
    for (int k = 0; k < table->count; k++) {
        const Key *key = &table->keys[k];
        if (key_type(key) != KEY_INTEGER) continue;
        const int64_t value = *(const int64_t *)((const char *)table->values + key->offset);
        if ((value == -1 && (nullable(key) || automatic(key))) || in_range(key, (double)value)) continue;
        char name[160], range[96];
        full_name(name, table->section, key->name);
        key_range(key, range);
        log_error("%s follows from other keys and is %lld, which is out of range: %s", name, (long long)value, range);
        return BAD_INPUT;
    }
    return OK;
}
