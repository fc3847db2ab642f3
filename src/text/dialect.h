/* Tokenizers' regular expressions are in the dialect of Oniguruma (Ruby). */
#ifndef FLAME_TEXT_DIALECT_H
#define FLAME_TEXT_DIALECT_H

#include <stdint.h>

/* The same expression for PCRE2, zero-terminated; the caller frees it. NULL, with the reason, if a part of it has
 * another meaning in PCRE2 and cannot be rewritten. */
char *dialect_translate(const char *expression, int64_t bytes, char reason[256]);

#endif
