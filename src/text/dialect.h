/* Regular expressions of tokenizers are Oniguruma's (Ruby's). */
#ifndef FLAME_TEXT_DIALECT_H
#define FLAME_TEXT_DIALECT_H

#include <stdint.h>

/* The same expression for PCRE2, zero-terminated; the caller frees it. NULL, with the reason, if it has a part that
 * means something else there and that cannot be written otherwise. */
char *dialect_translate(const char *expression, int64_t bytes, char reason[256]);

#endif
