/* GPT-2's letters for bytes: a byte that is printable in Latin-1 is itself, the others are U+0100, U+0101, ... */
#ifndef FLAME_TEXT_BYTE_LETTERS_H
#define FLAME_TEXT_BYTE_LETTERS_H

#include <stdint.h>

#include "text/pieces.h"

/* Appends the letter of each byte. */
void byte_letters_put(Pieces *pieces, const char *text, int64_t bytes);
/* The byte of a letter; -1 if it is none. */
int byte_of_letter(uint32_t letter);

#endif
