/* Loads optional shared libraries at run time, so that the program starts on machines without them. */
#ifndef FLAME_BASE_LIBRARY_H
#define FLAME_BASE_LIBRARY_H

#include <stdbool.h>
#include <stdint.h>

/* A function to look up, and the pointer that receives its address. */
typedef struct LibrarySymbol {
    const char *name;
    void *address; /* address of the function pointer */
} LibrarySymbol;

/* Opens `file` with dlopen and looks up all symbols. False if the file or a symbol is missing; `why` then receives the
 * reason. */
bool library_load(const char *file, const LibrarySymbol *symbols, int count, char *why, int64_t why_bytes);

#endif
