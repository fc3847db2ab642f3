/* Unicode's normal forms. */
#ifndef FLAME_TEXT_UNICODE_FORM_H
#define FLAME_TEXT_UNICODE_FORM_H

#include "text/pieces.h"

typedef enum UnicodeForm { NFC, NFD, NFKC, NFKD } UnicodeForm;

/* Appends a text in a normal form. *room is working memory for *count characters, which the caller keeps between calls
 * and frees. */
void unicode_form_put(Pieces *out, const char *text, int64_t bytes, UnicodeForm form, int32_t **room, int64_t *count);

#endif
