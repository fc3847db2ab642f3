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
    KEY_VALUE,         /* const ConfigValue *, borrowed from the mapping: read by its owner; absent or null is NULL */
    KEY_IGNORED,       /* known, of any type, without effect; offset is not used */
    KEY_FIXED,         /* known, but only its default is supported, and null if nullable; offset is not used */
    KEY_NULLABLE = 64, /* may be or'ed to a type */
    KEY_SCALAR = 128,  /* may be or'ed to a list: written without brackets if it has one item */
    KEY_INERT = 256    /* may be or'ed to a type: another value trains the same weights from the same weights */
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
    const char *default_text; /* as in YAML; of a string the text itself, "null" if it is NULL */
    double low, high; /* of a number, and of every number of a list; both 0: any finite number; an infinite bound
                         lets infinity in */
    const char *choices;
    const char *doc; /* one line */
    size_t offset;   /* in the struct of the table */
} Key;

/* A row for the field `name` of `Struct`. */
#define KEY(Struct, name, type, default_text, low, high, choices, doc)                                                 \
    { #name, type, default_text, low, high, choices, doc, offsetof(Struct, name) }

/* Keys and the struct that they fill. `values` may be NULL where only names matter. */
typedef struct KeyTable {
    const Key *keys;
    int count;
    void *values;
    const char *section; /* "training"; "" or NULL: the top of the file */
} KeyTable;

/* A key of flame that has another name here, or none. */
typedef struct RetiredKey {
    const char *name;   /* "training.num_workers"; "profiling.*": all that begin so and have no row before this one */
    const char *now;    /* its name here, with the same values; NULL: it has no use here */
    const char *advice; /* what to do instead; NULL: nothing to add */
} RetiredKey;

/* What unknown keys are compared with. */
typedef struct KeyHints {
    const KeyTable *tables;
    int table_count;
    const RetiredKey *retired;
    int retired_count;
} KeyHints;

#define LENGTH(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* Sets every value to its default. The memory before is not freed. */
void keys_defaults(const KeyTable *tables, int count);

/* Sets what the mapping says (NULL: nothing) in all the tables together; a key may stand in several tables and then
 * fills each. A key in no table is an error that names the nearest one, also of another section if `hints` is given.
 * BAD_INPUT after one log_error (rank 0). */
Status keys_apply(const KeyTable *tables, int count, const ConfigValue *mapping, const char *section,
                  const KeyHints *hints);

/* "key: value" lines in YAML, indented by two spaces under "section:" (if the section is not empty). Only of keys that
 * have a field. */
void keys_print(FILE *file, const KeyTable *table);
/* The value of one of the table's keys as keys_print writes it; "" if it has no field. The caller frees it. */
char *key_text(const KeyTable *table, const Key *key);
/* One or two lines per key: name, type, default, range or choices, and what it does. */
void keys_help(FILE *file, const KeyTable *table);
/* Whether `text` is one of the words of `choices`, which are separated by |. */
bool keys_is_choice(const char *choices, const char *text);
/* "1 to 10", "at least 1": the numbers that a key takes. */
void key_range(const Key *key, char text[96]);
/* The type without what is or'ed to it. */
KeyType key_type(const Key *key);
/* Whether the key has a field in the struct of its table: it is neither ignored nor fixed. */
bool key_has_field(const Key *key);
/* Frees the strings and lists of the struct. */
void keys_free(const KeyTable *tables, int count);

/* The key of that name, or NULL. */
const Key *keys_find(const KeyTable *tables, int count, const char *name);
/* The row of a key of flame that is not known here, or NULL. */
const RetiredKey *keys_retired(const KeyHints *hints, const char *name);
/* The known name that is nearest to `name` by edit distance, or NULL if none is near. */
const char *keys_nearest(const KeyTable *tables, int count, const char *name);
/* Number of insertions, deletions, replacements and swaps of neighbours that lead from a to b. */
int edit_distance(const char *a, const char *b);

#endif
