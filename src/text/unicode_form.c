#include "text/unicode_form.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/check.h"
#include "text/utf8.h"

enum { LONGEST = 32 }; /* most characters that one becomes: it is 18 */

static void reserve(int32_t **room, int64_t *count, int64_t needed) {
    if (needed <= *count) return;
    *count = 2 * needed;
    *room = realloc(*room, (size_t)*count * sizeof **room);
    CHECK_MEMORY(*room, "no memory for %lld characters", (long long)*count);
}

static int combining_class(int32_t character) { return utf8proc_get_property(character)->combining_class; }

/* Sorts a run of marks by their classes, those of a class in their order. utf8proc sorts them, too, but in quadratic
 * time, which is hours for a text of nothing but marks. */
static void sort_marks(int32_t *mark, int64_t count, int32_t *copy) {
    bool sorted = true;
    for (int64_t i = 1; i < count && sorted; i++) sorted = combining_class(mark[i - 1]) <= combining_class(mark[i]);
    if (sorted) return;
    memcpy(copy, mark, (size_t)count * sizeof *copy);
    for (int wanted = 1; wanted < 256; wanted++)
        for (int64_t i = 0; i < count; i++)
            if (combining_class(copy[i]) == wanted) *mark++ = copy[i];
}

/* The characters that those of a text become, in *room, which has room for as many behind them. */
static int64_t decompose(const char *text, int64_t bytes, int options, int32_t **room, int64_t *count) {
    int64_t length = 0;
    for (const char *at = text, *end = text + bytes; at < end;) {
        int unused;
        reserve(room, count, 2 * (length + LONGEST));
        const int64_t more =
            utf8proc_decompose_char((utf8proc_int32_t)utf8_next(&at), *room + length, LONGEST, options, &unused);
        CHECK(more >= 0 && more <= LONGEST, "a character cannot be normalized: %lld", (long long)more);
        length += more;
    }
    for (int64_t start = 0, end; start < length; start = end + 1) {
        for (end = start; end < length && combining_class((*room)[end]) > 0;) end++;
        sort_marks(*room + start, end - start, *room + length);
    }
    return length;
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
