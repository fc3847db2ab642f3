/* UTF-8. */
#ifndef FLAME_TEXT_UTF8_H
#define FLAME_TEXT_UTF8_H

#include <stdbool.h>
#include <stdint.h>

#define UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* The length in bytes of the character at `text`, and whether it is *valid. `bytes` is at least 1. If it is not valid,
 * the length of the longest prefix of a character there, at least 1, which as a whole becomes one U+FFFD. */
int utf8_sequence(const char *text, int64_t bytes, bool *valid);
/* Returns the character at *text, which is valid UTF-8, and moves *text behind it. */
uint32_t utf8_next(const char **text);
/* The length in bytes of the last character of text[0 .. bytes), which is valid UTF-8 and not empty. */
int utf8_last(const char *text, int64_t bytes);
/* Writes a character and returns its length in bytes. */
int utf8_put(uint32_t character, char to[4]);
/* How many bytes from the beginning of `text` are valid. */
int64_t utf8_valid(const char *text, int64_t bytes);

#endif
