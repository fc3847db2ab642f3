/* What a YAML, JSON or TOML file says, as one tree. Every node remembers where it was written, for error messages.
 *
 * The readers are strict: files of at most 1 MiB, UTF-8 without NUL (a byte order mark and CRLF are fine), nesting of
 * at most 32, one document, no anchors, aliases, tags or merge keys, no key twice in one mapping, no key that YAML
 * could not write again. Each refusal is one log_error with file and line. Numbers are decimal and do not depend on the
 * locale. */
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

/* The file of what was given there. */
#define COMMAND_LINE "command line"

/* Owns everything below it. */
typedef struct ConfigValue {
    ValueType type;
    bool quoted; /* a string in quotes: never a number */
    char *file;  /* where it was written; "command line", "default" */
    int line;    /* 1-based, 0: not from a file */
    char *key;   /* its name, if it stands in a mapping */
    int key_line;
    bool boolean;
    int64_t integer;
    double real; /* also set for an integer; may be infinite */
    char *text;  /* a scalar as it was written, without quotes; of JSON only strings have it */
    int count;
    struct ConfigValue **item; /* [count] of a list or mapping, in the order of the file */
} ConfigValue;

/* Reads a whole file; `.json` is JSON, `.toml` is flame's TOML, everything else YAML. An empty YAML file is an empty
 * mapping. *value is set on OK only and belongs to the caller. BAD_INPUT, or IO_ERROR if reading failed; the message is
 * logged. */
Status config_value_read(const char *path, ConfigValue **value);
/* The same for text in memory; `name` stands for the file in messages. */
Status config_value_read_yaml(const char *name, const char *text, size_t bytes, ConfigValue **value);
Status config_value_read_json(const char *name, const char *text, size_t bytes, ConfigValue **value);
Status config_value_read_toml(const char *name, const char *text, size_t bytes, ConfigValue **value);
void config_value_free(ConfigValue *value);

/* The value of `key` in a mapping, or NULL. A NULL mapping has no keys. */
const ConfigValue *config_value_get(const ConfigValue *mapping, const char *key);
/* Puts a value into a mapping, in place of one of the same key. Takes ownership. */
void config_value_set(ConfigValue *mapping, const char *key, ConfigValue *value);
/* Puts an item at the end of a list. Takes ownership. */
void config_value_append(ConfigValue *list, ConfigValue *item);
ConfigValue *config_value_new(ValueType type, const char *file, int line);
ConfigValue *config_value_string(const char *text, const char *file, int line);
/* What `text` means in YAML where it stands without quotes: null, a boolean, a number or a string. */
ConfigValue *config_value_plain(const char *text, const char *file, int line);
ConfigValue *config_value_copy(const ConfigValue *value);
/* Whether both say the same, wherever and however it was written: 2 is 2.0, the order of a mapping's keys is free. */
bool config_value_same(const ConfigValue *a, const ConfigValue *b);

/* Writes a value as YAML that reads back as the same value: a mapping with one key per line behind `indent` spaces,
 * what is inside of lists in brackets. indent < 0: all on one line, in brackets. */
void config_value_write(FILE *file, const ConfigValue *value, int indent);
/* A string, quoted where it has to be; bytes that are not UTF-8 become the escapes of the characters of their number.
 */
void config_write_string(FILE *file, const char *text);
void config_write_real(FILE *file, double value);

/* JSON, indented by two spaces, keys sorted, as transformers writes config.json; numbers with as few digits as read
 * back the same. The caller frees it. */
char *config_value_json(const ConfigValue *value);

/* "mapping", "list", "integer", ... for messages. */
const char *value_type_name(ValueType type);

/* log_error with "FILE:LINE: " in front. Returns BAD_INPUT, or USAGE for what stands on the command
 * line. */
Status config_error(const ConfigValue *where, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* For the two readers: refuses text that is too long, UTF-16 or has a NUL, and steps over a byte order mark. */
Status config_text_check(const char *name, const char **text, size_t *bytes);

#endif
