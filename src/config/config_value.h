/* The contents of a YAML, JSON or TOML file as a tree. Every node has its file and line, for error messages.
 *
 * The readers are strict: files of at most 1 MiB, UTF-8 without NUL (a byte order mark and CRLF are fine), nesting of
 * at most 32, one document, no anchors, aliases, tags or merge keys, no duplicate keys, no key that could not be
 * written as YAML. Whatever is refused gets one log_error with file and line. Numbers are decimal and do not depend on
 * the locale. */
#ifndef FLAME_CONFIG_CONFIG_VALUE_H
#define FLAME_CONFIG_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/check.h"

typedef enum ValueType {
    VALUE_NULL,
    VALUE_BOOL,
    VALUE_INTEGER,
    VALUE_REAL,
    VALUE_STRING,
    VALUE_LIST,
    VALUE_MAPPING
} ValueType;

enum { CONFIG_DEPTH = 32, CONFIG_BYTES = 1 << 20, MAPPING_KEYS = 1000, KEY_BYTES = 200 };

/* ConfigValue.file of values from the command line. */
#define COMMAND_LINE "command line"

/* A node. It owns its strings and items. */
typedef struct ConfigValue {
    ValueType type;
    bool quoted; /* a string that was in quotes */
    char *file;  /* its source: a path, "command line" or "default" */
    int line;    /* 1-based, 0: not from a file */
    char *key;   /* its name, if it is in a mapping */
    int key_line;
    bool boolean;
    int64_t integer;
    double real; /* also set for an integer; may be infinite */
    char *text;  /* a scalar as it was written, without quotes; NULL for JSON scalars other than strings */
    int count;
    struct ConfigValue **item; /* [count] of a list or mapping, in the order of the file */
} ConfigValue;

/* Parses a file: `.json` as JSON, `.toml` as flame's subset of TOML, everything else as YAML. An empty YAML file is an
 * empty mapping. *value is set on OK only; the caller frees it. BAD_INPUT, or IO_ERROR if reading failed; both are
 * logged. */
Status config_value_read(const char *path, ConfigValue **value);
/* The same for text in memory; `name` is used as the file name in messages. */
Status config_value_read_yaml(const char *name, const char *text, size_t bytes, ConfigValue **value);
Status config_value_read_json(const char *name, const char *text, size_t bytes, ConfigValue **value);
Status config_value_read_toml(const char *name, const char *text, size_t bytes, ConfigValue **value);
void config_value_free(ConfigValue *value);

/* The value of `key` in a mapping, or NULL. A NULL mapping has no keys. */
const ConfigValue *config_value_get(const ConfigValue *mapping, const char *key);
/* Adds a value to a mapping, or replaces the value of the same key. Takes ownership of `value`. */
void config_value_set(ConfigValue *mapping, const char *key, ConfigValue *value);
/* Appends an item to a list. Takes ownership of `item`. */
void config_value_append(ConfigValue *list, ConfigValue *item);
ConfigValue *config_value_new(ValueType type, const char *file, int line);
ConfigValue *config_value_string(const char *text, const char *file, int line);
/* Parses an unquoted YAML scalar: null, a boolean, a number or a string. The caller owns the value. */
ConfigValue *config_value_plain(const char *text, const char *file, int line);
ConfigValue *config_value_copy(const ConfigValue *value);
/* Whether two values are equal, regardless of file, notation (2 equals 2.0) and the order of keys in mappings. */
bool config_value_same(const ConfigValue *a, const ConfigValue *b);

/* Writes a value as YAML that reads back as the same value: mappings with one key per line, indented by `indent`
 * spaces, lists in brackets on one line. indent < 0: everything on one line, in brackets. */
void config_value_write(FILE *file, const ConfigValue *value, int indent);
/* Writes a string, in quotes where YAML needs them. A byte that is not UTF-8 is written as the escape \xNN. */
void config_write_string(FILE *file, const char *text);
void config_write_real(FILE *file, double value);

/* Formats a value as JSON like transformers' config.json: indented by two spaces, keys sorted. Numbers have the fewest
 * digits that read back as the same value. The caller frees the text. */
char *config_value_json(const ConfigValue *value);

/* "mapping", "list", "integer", ... for messages. */
const char *value_type_name(ValueType type);

/* Logs an error about a value, prefixed with "FILE:LINE: ". Returns BAD_INPUT, or USAGE for values of the command line.
 */
Status config_error(const ConfigValue *where, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* For the readers: refuses text that is too long, is UTF-16 or has a NUL byte, and skips a byte order mark. */
Status config_text_check(const char *name, const char **text, size_t *bytes);

#endif
