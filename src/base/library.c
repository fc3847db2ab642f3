#include "base/library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

bool library_load(const char *file, const LibrarySymbol *symbols, int count, char *why, int64_t why_bytes) {
    void *library = dlopen(file, RTLD_LAZY | RTLD_LOCAL);
    bool found = library != NULL;
    for (int i = 0; i < count && found; i++) {
        void *symbol = dlsym(library, symbols[i].name);
        found = symbol != NULL;
        memcpy(symbols[i].address, &symbol, sizeof symbol);
    }
    if (!found) snprintf(why, (size_t)why_bytes, "%s", dlerror());
    return found;
}
