#include "text/unicode_form.h"

#include <stdlib.h>
#include <utf8proc.h>

#include "base/check.h"

static int64_t decompose(const char *text, int64_t bytes, int options, int32_t **room, int64_t *count) {
    for (;;) {
        const int64_t needed = utf8proc_decompose((const utf8proc_uint8_t *)text, bytes, *room, *count, options);
        CHECK(needed >= 0, "a text of %lld bytes cannot be normalized: %s", (long long)bytes, utf8proc_errmsg(needed));
        if (needed <= *count) return needed;
        *count = 2 * needed;
        *room = realloc(*room, (size_t)*count * sizeof **room);
        CHECK_MEMORY(*room, "no memory for %lld characters", (long long)*count);
    }
}

static void put_form(Pieces *out, const char *text, int64_t bytes, UnicodeForm form, int32_t **room, int64_t *count) {
    const bool compatible = form == NFKC || form == NFKD, composed = form == NFC || form == NFKC;
    const int options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0);
    int64_t length = decompose(text, bytes, options, room, count);
    if (composed) length = utf8proc_normalize_utf32(*room, length, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    for (int64_t i = 0; i < length; i++) pieces_put_character(out, (uint32_t)(*room)[i]);
}

/* ASCII characters do not change and never combine with characters before them. So of a run of them, only the last can
 * change, if other characters follow. */
void unicode_form_put(Pieces *out, const char *text, int64_t bytes, UnicodeForm form, int32_t **room, int64_t *count) {
    for (int64_t at = 0; at < bytes;) {
        int64_t plain = at;
        while (plain < bytes && (unsigned char)text[plain] < 0x80) plain++;
        const int64_t start = plain < bytes && plain > at ? plain - 1 : plain;
        pieces_put(out, text + at, start - at);
        while (plain < bytes && (unsigned char)text[plain] >= 0x80) plain++;
        if (start < plain) put_form(out, text + start, plain - start, form, room, count);
        at = plain;
    }
}
