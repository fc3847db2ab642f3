/* The properties of Unicode characters that tokenizers need. */
#ifndef FLAME_TEXT_CHARACTERS_H
#define FLAME_TEXT_CHARACTERS_H

#include <stdbool.h>
#include <stdint.h>

bool character_is_space(uint32_t character);       /* White_Space */
bool character_is_number(uint32_t character);      /* N */
bool character_is_punctuation(uint32_t character); /* P, and ASCII but letters, digits, space, controls */
bool character_is_word(uint32_t character);        /* \w: letters, marks, digits, connectors, joiners */
bool character_is_mark(uint32_t character);        /* M */
bool character_is_nonspacing(uint32_t character);  /* Mn */
bool character_is_control(uint32_t character);     /* Cc, Cf, Co */
bool character_is_ideograph(uint32_t character);   /* the blocks that BERT puts spaces around */

/* Writes the lower case of a character and returns its length, 1 or 2. */
int character_lower(uint32_t character, uint32_t to[2]);

#endif
