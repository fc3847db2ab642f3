/* Tables of configuration keys. One table drives reading, defaults, --help, the printed configuration and its copy in a
 * checkpoint. The program's own sections and the mixers' Hugging Face keys are both described this way:
 *
 *   static const Key keys[] = {
 *       KEY(Gla, expand_k, KEY_REAL, "0.5", 0.01, 16, NULL, "key width over hidden size"),
 *       KEY(Gla, num_kv_heads, KEY_INTEGER | KEY_NULLABLE, "null", 1, 4096, NULL, "null: as num_heads"),
 *   };
 *   KeyTable table = {keys, LENGTH(keys), &gla};
 *   keys_defaults(&table, 1);
 *   Status status = keys_apply(&table, 1, mapping, "model", NULL);
 */
#ifndef FLAME_CONFIG_KEYS_H
#define FLAME_CONFIG_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/check.h"
#include "config/config_value.h"

typedef enum KeyType {
    KEY_INTEGER,       /* int64_t; null is -1 */
    KEY_REAL,          /* double; null is NaN; an integer is accepted */
    KEY_BOOLEAN,       /* bool; cannot be null */
    KEY_STRING,        /* char *, owned; null is NULL */
    KEY_CHOICE,        /* char *, owned, one of `choices`, which are separated by |; null is NULL */
    KEY_INTEGER_LIST,  /* IntegerList; null is no items; one value without brackets is a list of one */
    KEY_REAL_LIST,     /* RealList */
    KEY_STRING_LIST,   /* StringList */
    KEY_VALUE,         /* const ConfigValue *, any value, borrowed from the mapping; absent or null is NULL */
    KEY_IGNORED,       /* accepted with any value, without effect; offset is not used */
    KEY_FIXED,         /* only its default is supported, and null if nullable; offset is not used */
    KEY_NULLABLE = 64, /* flag of a type: null is allowed */
    KEY_SCALAR = 128,  /* flag of a list: a single item is written without brackets */
    KEY_INERT = 256,   /* flag of a type: the value does not change the results of training */
    KEY_AUTO = 512     /* flag of KEY_INTEGER: the word auto is allowed; it is -1 */
} KeyType;

typedef struct IntegerList {
    int64_t count, *item;
} IntegerList;

typedef struct RealList {
    int64_t count;
    double *item;
} RealList;

typedef struct StringList {
    int64_t count;
    char **item;
} StringList;

typedef struct Key {
    const char *name;
    KeyType type;
    const char *default_text; /* in YAML; for a string the text itself, or "null" for NULL */
    double low, high; /* range of the number, or of each number of a list; both 0: any finite number; an infinite bound
                         allows infinite numbers */
    const char *choices;
    const char *doc; /* one line */
    size_t offset;   /* in the struct of the table */
} Key;

/* A row for the field `name` of `Struct`. */
#define KEY(Struct, name, type, default_text, low, high, choices, doc)                                                 \
    { #name, type, default_text, low, high, choices, doc, offsetof(Struct, name) }

/* Keys and the struct that they describe. `values` may be NULL where only the names are needed. */
typedef struct KeyTable {
    const Key *keys;
    int count;
    void *values;
    const char *section; /* "training"; "" or NULL: the top of the file */
} KeyTable;

/* A key of flame that was renamed or does not exist here. */
typedef struct RetiredKey {
    const char *name; /* "training.num_workers"; "profiling.*": all names with that prefix that no row before matches */
    const char *now;  /* its new name, which takes the same values; NULL: it has none */
    const char *advice; /* what to do instead; NULL: nothing to add */
} RetiredKey;

/* Names to suggest in errors about unknown keys. */
typedef struct KeyHints {
    const KeyTable *tables;
    int table_count;
    const RetiredKey *retired;
    int retired_count;
    const char *mixer; /* whose keys are read; NULL: the keys are no mixer's */
    bool (*other_mixer_has)(const char *name);
} KeyHints;

#define LENGTH(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* Sets every field to its default, without freeing previous values. */
void keys_defaults(const KeyTable *tables, int count);

/* Sets the fields of all keys in `mapping` (NULL: none). A key that is in several of the tables is set in each. A key
 * that is in no table is an error, which suggests the nearest known key, with `hints` also one of another section. An
 * error is logged once and returned as BAD_INPUT, or as USAGE for a value from the command line. */
Status keys_apply(const KeyTable *tables, int count, const ConfigValue *mapping, const char *section,
                  const KeyHints *hints);

/* Checks integers that were computed from other keys: each must be in its key's range. BAD_INPUT after one
 * log_error. */
Status keys_check(const KeyTable *table);

/* Prints the keys that have a field as YAML: "key: value" lines, indented by two spaces under "section:" if the section
 * has a name. */
void keys_print(FILE *file, const KeyTable *table);
/* The value of one of the table's keys as keys_print writes it; "" if it has no field. The caller frees it. */
char *key_text(const KeyTable *table, const Key *key);
/* Prints two lines per key: name, type, range or choices and default; then what it does. */
void keys_help(FILE *file, const KeyTable *table);
/* Whether `text` is one of the words of `choices`, which are separated by |. */
bool keys_is_choice(const char *choices, const char *text);
/* The range of a number as text: "1 to 10", "at least 1". */
void key_range(const Key *key, char text[96]);
/* The type without flags. */
KeyType key_type(const Key *key);
/* Whether the key has a field in the struct of its table: it is neither ignored nor fixed. */
bool key_has_field(const Key *key);
/* Frees the strings and lists of the struct. */
void keys_free(const KeyTable *tables, int count);

/* The key of that name, or NULL. */
const Key *keys_find(const KeyTable *tables, int count, const char *name);
/* The row of a retired key of flame, or NULL. */
const RetiredKey *keys_retired(const KeyHints *hints, const char *name);
/* The known name with an effect that is nearest to `name` by edit distance, or NULL if none is near. */
const char *keys_nearest(const KeyTable *tables, int count, const char *name);
/* Optimal string alignment distance: insertions, deletions, replacements and swaps of neighbours. Ignores case and
 * treats - . _ as equal. */
int edit_distance(const char *a, const char *b);

#endif
