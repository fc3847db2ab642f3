#include "text/utf8.h"

#include <string.h>

/* If the first byte is E0, ED, F0 or F4, the second has a narrower range than later ones, which excludes overlong
 * forms, surrogates and characters above U+10FFFF. */
int utf8_sequence(const char *text, int64_t bytes, bool *valid) {
    const unsigned char *at = (const unsigned char *)text, first = at[0];
    const int length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    *valid = length == 1;
    for (int i = 1; i < length; i++) {
        if (i >= bytes || at[i] < low || at[i] > high) return i;
        low = 0x80;
        high = 0xbf;
        *valid = i + 1 == length;
    }
    return length ? length : 1;
}

uint32_t utf8_next(const char **text) {
    const unsigned char *at = (const unsigned char *)*text;
    const int length = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    uint32_t character = length == 1 ? at[0] : at[0] & (0x7fu >> length);
    for (int i = 1; i < length; i++) character = character << 6 | (at[i] & 0x3f);
    *text += length;
    return character;
}

int utf8_last(const char *text, int64_t bytes) {
    int length = 1;
    while (length < bytes && (text[bytes - length] & 0xc0) == 0x80) length++;
    return length;
}

int utf8_put(uint32_t character, char to[4]) {
    const int length = character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    for (int i = length - 1; i > 0; i--, character >>= 6) to[i] = (char)(0x80 | (character & 0x3f));
    to[0] = (char)(length == 1 ? character : (0xf00u >> length & 0xf0) | character);
    return length;
}

int64_t utf8_valid(const char *text, int64_t bytes) {
    int64_t at = 0;
    while (at < bytes) {
        uint64_t eight;
        if (at + 8 <= bytes && (memcpy(&eight, text + at, 8), (eight & 0x8080808080808080u) == 0)) {
            at += 8;
            continue;
        }
        bool valid;
        const int length = utf8_sequence(text + at, bytes - at, &valid);
        if (!valid) break;
        at += length;
    }
    return at;
}
