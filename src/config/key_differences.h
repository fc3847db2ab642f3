/* Where two structs of the same table of keys differ. */
#ifndef FLAME_CONFIG_KEY_DIFFERENCES_H
#define FLAME_CONFIG_KEY_DIFFERENCES_H

#include "config/keys.h"

typedef struct KeyDifference {
    char name[160];  /* with the section: "training.steps" */
    char *old, *now; /* the values as YAML writes them */
    bool inert;      /* of a KEY_INERT key */
} KeyDifference;

typedef struct KeyDifferences {
    KeyDifference *item;
    int64_t count;
} KeyDifferences;

/* Adds the keys of which `old` and `now`, tables of the same keys, have different values. */
void keys_compare(const KeyTable *old, const KeyTable *now, KeyDifferences *differences);
/* Adds one; the texts are copied. */
void key_differences_add(KeyDifferences *differences, const char *section, const char *key, const char *old,
                         const char *now);
void key_differences_free(KeyDifferences *differences);

#endif
