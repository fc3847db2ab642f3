/* Parses the subset of TOML that flame's configurations use: sections, and keys with single-line strings, numbers,
 * booleans and lists of these. Refuses quoted names, dates, inline tables, arrays of tables and multi-line strings. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "config/config_value.h"

typedef struct Reader {
    const char *at; /* ends with a zero byte */
    const char *file;
    int line;
    Status status;
} Reader;

__attribute__((format(printf, 2, 3))) static bool refuse(Reader *r, const char *format, ...) {
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    const ConfigValue where = {.file = (char *)r->file, .line = r->line};
    r->status = config_error(&where, "%s", message);
    return false;
}

static void skip_blanks(Reader *r) { r->at += strspn(r->at, " \t"); }

/* Skips blanks, comments and line breaks. */
static void skip_lines(Reader *r) {
    for (;; r->at++) {
        r->at += strspn(r->at, " \t\r");
        if (*r->at == '#') r->at += strcspn(r->at, "\n");
        if (*r->at != '\n') return;
        r->line++;
    }
}

static bool end_line(Reader *r) {
    skip_blanks(r);
    if (*r->at == '#') r->at += strcspn(r->at, "\n");
    if (*r->at == '\r') r->at++;
    if (*r->at && *r->at != '\n') return refuse(r, "unexpected \"%.20s\" after the value", r->at);
    if (*r->at) r->at++, r->line++;
    return true;
}

/* The character that an escape \c in double quotes stands for; 0 if it is not supported. */
static char escaped(char c) {
    static const char letters[] = "\"\\nt", meanings[] = "\"\\\n\t";
    const char *letter = c ? strchr(letters, c) : NULL;
    return letter ? meanings[letter - letters] : 0;
}

/* Reads the quoted string at r->at. The caller frees it; NULL on error. */
static char *read_quoted(Reader *r) {
    const char quote = *r->at++;
    char *text = calloc(1, strcspn(r->at, "\n") + 1), *end = text;
    CHECK_MEMORY(text, "no memory to read %s", r->file);
    for (; *r->at != quote; r->at++) {
        const bool escape = quote == '"' && *r->at == '\\';
        if (escape) r->at++;
        *end++ = escape ? escaped(*r->at) : *r->at;
        if (*r->at && *r->at != '\n' && end[-1]) continue;
        refuse(r, escape ? "unknown escape in a string; use one of \\\" \\\\ \\n \\t"
                         : "the closing quote of a string is missing");
        free(text);
        return NULL;
    }
    r->at++;
    return text;
}

/* Reads a number or a boolean. TOML allows 20_480 and +1. */
static ConfigValue *read_bare(Reader *r) {
    char word[64] = "";
    size_t used = 0;
    const size_t length = strcspn(r->at, " \t\r\n#,]");
    for (size_t i = 0; i < length && used < sizeof word - 1; i++)
        if (r->at[i] != '_' && !(i == 0 && r->at[i] == '+')) word[used++] = r->at[i];
    ConfigValue *value = config_value_plain(word, r->file, r->line);
    if (length == 0 || length >= sizeof word || value->type < VALUE_BOOL || value->type > VALUE_REAL) {
        refuse(r, "\"%.*s\" is not a number or boolean; put strings in quotes", (int)(length < 60 ? length : 60),
               r->at);
        config_value_free(value);
        return NULL;
    }
    r->at += length;
    return value;
}

static ConfigValue *read_value(Reader *r, int depth);

static ConfigValue *read_list(Reader *r, int depth) {
    if (depth == CONFIG_DEPTH) {
        refuse(r, "is nested deeper than %d", CONFIG_DEPTH);
        return NULL;
    }
    ConfigValue *list = config_value_new(VALUE_LIST, r->file, r->line);
    r->at++;
    for (skip_lines(r); *r->at != ']'; skip_lines(r)) {
        ConfigValue *item = read_value(r, depth + 1);
        if (item) config_value_append(list, item);
        skip_lines(r);
        if (item && *r->at == ',')
            r->at++;
        else if (item && *r->at != ']')
            refuse(r, "expected a comma or ] in this list");
        if (r->status == OK) continue;
        config_value_free(list);
        return NULL;
    }
    r->at++;
    return list;
}

static ConfigValue *read_value(Reader *r, int depth) {
    if (*r->at == '[') return read_list(r, depth);
    if (*r->at != '"' && *r->at != '\'') return read_bare(r);
    if (strncmp(r->at, "\"\"\"", 3) == 0 || strncmp(r->at, "'''", 3) == 0) {
        refuse(r, "multi-line strings are not supported");
        return NULL;
    }
    char *text = read_quoted(r);
    ConfigValue *value = text ? config_value_string(text, r->file, r->line) : NULL;
    free(text);
    return value;
}

/* Reads a dotted name such as a.b.c. Creates the mappings a and a.b as needed, stores "c" in `key` and returns the
 * mapping a.b. NULL on error. */
static ConfigValue *read_path(Reader *r, ConfigValue *mapping, char key[KEY_BYTES + 1]) {
    for (;;) {
        skip_blanks(r);
        const size_t length = strspn(r->at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
        snprintf(key, KEY_BYTES + 1, "%.*s", (int)(length < KEY_BYTES ? length : KEY_BYTES), r->at);
        r->at += length;
        skip_blanks(r);
        if (length == 0 || length > KEY_BYTES) {
            refuse(r, "expected a name without quotes");
            return NULL;
        }
        if (*r->at != '.') return mapping;
        r->at++;
        ConfigValue *below = (ConfigValue *)config_value_get(mapping, key);
        if (!below) config_value_set(mapping, key, below = config_value_new(VALUE_MAPPING, r->file, r->line));
        if (below->type != VALUE_MAPPING) {
            refuse(r, "%s is used as a value and as a section", key);
            return NULL;
        }
        mapping = below;
    }
}

static ConfigValue *read_section(Reader *r, ConfigValue *root) {
    char key[KEY_BYTES + 1];
    if (*++r->at == '[') {
        refuse(r, "arrays of tables (double brackets) are not supported");
        return NULL;
    }
    ConfigValue *around = read_path(r, root, key);
    if (!around) return NULL;
    const ConfigValue *twin = config_value_get(around, key);
    if (*r->at != ']' || twin) {
        if (twin)
            refuse(r, "section %s is here and in line %d; keep one", key, twin->line);
        else
            refuse(r, "expected ] after the name of the section");
        return NULL;
    }
    r->at++;
    config_value_set(around, key, config_value_new(VALUE_MAPPING, r->file, r->line));
    return end_line(r) ? (ConfigValue *)config_value_get(around, key) : NULL;
}

static bool read_pair(Reader *r, ConfigValue *section) {
    char key[KEY_BYTES + 1];
    ConfigValue *mapping = read_path(r, section, key);
    if (!mapping) return false;
    const ConfigValue *twin = config_value_get(mapping, key);
    if (twin) return refuse(r, "key %s is here and in line %d; keep one", key, twin->line);
    if (*r->at != '=') return refuse(r, "expected = after %s", key);
    if (mapping->count == MAPPING_KEYS) return refuse(r, "more than %d keys in one section", MAPPING_KEYS);
    r->at++;
    skip_blanks(r);
    ConfigValue *value = read_value(r, 0);
    if (!value) return false;
    value->key_line = value->line;
    config_value_set(mapping, key, value);
    return end_line(r);
}

Status config_value_read_toml(const char *name, const char *text, size_t bytes, ConfigValue **value) {
    const Status status = config_text_check(name, &text, &bytes);
    if (status != OK) return status;
    char *copy = strndup(text, bytes);
    CHECK_MEMORY(copy, "no memory to read %s", name);
    json_t *utf8 = json_stringn(text, bytes); /* NULL if the text is not UTF-8 */
    Reader reader = {.at = copy, .file = name, .line = 1};
    if (!utf8) refuse(&reader, "a configuration is UTF-8 text");
    json_decref(utf8);
    ConfigValue *root = config_value_new(VALUE_MAPPING, name, 1), *section = root;
    for (skip_lines(&reader); reader.status == OK && *reader.at; skip_lines(&reader)) {
        if (*reader.at == '[')
            section = read_section(&reader, root);
        else
            read_pair(&reader, section);
    }
    free(copy);
    if (reader.status == OK)
        *value = root;
    else
        config_value_free(root);
    return reader.status;
}
