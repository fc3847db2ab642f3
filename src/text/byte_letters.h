/* GPT-2's letters for bytes: a byte that is printable in Latin-1 stands for itself; the others are written as U+0100,
 * U+0101, ... */
#ifndef FLAME_TEXT_BYTE_LETTERS_H
#define FLAME_TEXT_BYTE_LETTERS_H

#include <stdint.h>

#include "text/pieces.h"

/* Appends the letter of each byte. */
void byte_letters_put(Pieces *pieces, const char *text, int64_t bytes);
/* The byte that a letter stands for; -1 if it stands for none. */
int byte_of_letter(uint32_t letter);

#endif
