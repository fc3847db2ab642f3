#include "config/key_differences.h"

#include <stdlib.h>
#include <string.h>

void key_differences_add(KeyDifferences *differences, const char *section, const char *key, const char *old,
                         const char *now) {
    const size_t size = (size_t)(differences->count + 1) * sizeof *differences->item;
    differences->item = realloc(differences->item, size);
    CHECK_MEMORY(differences->item, "no memory for a list of keys");
    KeyDifference *added = &differences->item[differences->count++];
    *added = (KeyDifference){.old = strdup(old), .now = strdup(now)};
    CHECK_MEMORY(added->old && added->now, "no memory for a list of keys");
    snprintf(added->name, sizeof added->name, "%s%s%s", section ? section : "", section && *section ? "." : "", key);
}

void keys_compare(const KeyTable *old, const KeyTable *now, KeyDifferences *differences) {
    for (int k = 0; k < now->count; k++) {
        const Key *key = &now->keys[k];
        char *before = key_text(old, key), *after = key_text(now, key);
        if (strcmp(before, after) != 0) {
            key_differences_add(differences, now->section, key->name, before, after);
            differences->item[differences->count - 1].inert = (key->type & KEY_INERT) != 0;
        }
        free(before);
        free(after);
    }
}

void key_differences_free(KeyDifferences *differences) {
    for (int64_t i = 0; i < differences->count; i++) {
        free(differences->item[i].old);
        free(differences->item[i].now);
    }
    free(differences->item);
    *differences = (KeyDifferences){0};
}
