/* Lists the keys whose values differ between two structs of the same table. */
#ifndef FLAME_CONFIG_KEY_DIFFERENCES_H
#define FLAME_CONFIG_KEY_DIFFERENCES_H

#include "config/keys.h"

typedef struct KeyDifference {
    char name[160];  /* "training.steps" */
    char *old, *now; /* the values as YAML writes them */
    bool inert;      /* the key is KEY_INERT: it does not change the results of training */
} KeyDifference;

typedef struct KeyDifferences {
    KeyDifference *item;
    int64_t count;
} KeyDifferences;

/* Adds the keys whose values differ. `old` and `now` must have the same keys. */
void keys_compare(const KeyTable *old, const KeyTable *now, KeyDifferences *differences);
/* Adds one difference. Copies the strings. */
void key_differences_add(KeyDifferences *differences, const char *section, const char *key, const char *old,
                         const char *now);
void key_differences_free(KeyDifferences *differences);

#endif
