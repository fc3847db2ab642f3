/* Shared libraries that are opened only when they are needed, so that the program starts without them. */
#ifndef FLAME_BASE_LIBRARY_H
#define FLAME_BASE_LIBRARY_H

#include <stdbool.h>
#include <stdint.h>

/* A function of the library, and where its address goes. */
typedef struct LibrarySymbol {
    const char *name;
    void *address; /* of a pointer to a function */
} LibrarySymbol;

/* Opens `file` by the rules of the dynamic loader and finds all symbols. If one is missing, or the file, `why` says so.
 */
bool library_load(const char *file, const LibrarySymbol *symbols, int count, char *why, int64_t why_bytes);

#endif
