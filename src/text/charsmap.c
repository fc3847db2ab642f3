#include "text/charsmap.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "text/utf8.h"

/* The table is 4 bytes with the size of the trie, the trie, and the replacements, each with a zero byte behind it. */
struct Charsmap {
    unsigned char *data;
    int64_t units;    /* of the trie, 4 bytes each */
    const char *text; /* the replacements */
    int64_t text_bytes;
};

static int digit(char letter) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = letter ? strchr(digits, letter) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Returns the number of bytes; -1 if the text is not base64. */
static int64_t decode_base64(const char *text, int64_t bytes, unsigned char *to) {
    int64_t count = 0;
    uint32_t bits = 0;
    int held = 0;
    while (bytes > 0 && text[bytes - 1] == '=') bytes--;
    for (int64_t i = 0; i < bytes; i++) {
        const int value = digit(text[i]);
        if (value < 0) return -1;
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held < 8) continue;
        held -= 8;
        to[count++] = (unsigned char)(bits >> held);
    }
    return count;
}

static uint32_t unit_at(const unsigned char *data, int64_t index) {
    const unsigned char *at = data + 4 * index;
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static bool take_apart(Charsmap *charsmap, int64_t bytes) {
    if (bytes < 8) return false;
    const int64_t trie = unit_at(charsmap->data, 0);
    if (trie % 4 != 0 || trie < 4 || trie > bytes - 4) return false;
    charsmap->units = trie / 4;
    charsmap->text = (const char *)charsmap->data + 4 + trie;
    charsmap->text_bytes = bytes - 4 - trie;
    return utf8_valid(charsmap->text, charsmap->text_bytes) == charsmap->text_bytes;
}

Charsmap *charsmap_read(const char *base64, int64_t bytes) {
    Charsmap *charsmap = calloc(1, sizeof *charsmap);
    CHECK_MEMORY(charsmap, "no memory for a table of characters");
    charsmap->data = malloc((size_t)bytes + 1);
    CHECK_MEMORY(charsmap->data, "no memory for a table of characters of %lld bytes", (long long)bytes);
    if (take_apart(charsmap, decode_base64(base64, bytes, charsmap->data))) return charsmap;
    charsmap_free(charsmap);
    return NULL;
}

void charsmap_free(Charsmap *charsmap) {
    if (!charsmap) return;
    free(charsmap->data);
    free(charsmap);
}

/* A unit of the trie: bits 0 .. 7 and 31 are its label, bit 8 says whether a text ends here, and bits 10 and up are the
 * offset of its children, in steps of 256 if bit 9 is set. */
static uint32_t children_of(uint32_t unit) { return unit >> 10 << ((unit & 1u << 9) >> 6); }

static const char *replacement(const Charsmap *charsmap, uint32_t at, int64_t *bytes) {
    if (at >= charsmap->text_bytes) return NULL;
    const char *text = charsmap->text + at, *end = memchr(text, 0, (size_t)(charsmap->text_bytes - at));
    *bytes = (end ? end : charsmap->text + charsmap->text_bytes) - text;
    return (text[0] & 0xc0) == 0x80 ? NULL : text; /* damage: the middle of a character */
}

const char *charsmap_find(const Charsmap *charsmap, const char *text, int64_t bytes, int64_t *found_bytes) {
    const unsigned char *trie = charsmap->data + 4;
    uint32_t at = children_of(unit_at(trie, 0));
    for (int64_t i = 0; i < bytes && text[i]; i++) {
        at ^= (unsigned char)text[i];
        if (at >= charsmap->units) return NULL;
        const uint32_t unit = unit_at(trie, at);
        if ((unit & 0x800000ffu) != (unsigned char)text[i]) return NULL;
        at ^= children_of(unit);
        if (at >= charsmap->units) return NULL;
        if (unit & 1u << 8) return replacement(charsmap, unit_at(trie, at) & 0x7fffffffu, found_bytes);
    }
    return NULL;
}
