#include "text/byte_letters.h"

#include <stdbool.h>

#include "text/utf8.h"

static bool is_printable(int byte) {
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

/* The unprintable bytes are 0 .. 32, 127 .. 160 and 173. */
static uint32_t letter_of(int byte) {
    if (is_printable(byte)) return (uint32_t)byte;
    return 256u + (uint32_t)(byte <= ' ' ? byte : byte == 0xad ? 67 : byte - 127 + 33);
}

int byte_of_letter(uint32_t letter) {
    if (letter < 256) return is_printable((int)letter) ? (int)letter : -1;
    const uint32_t place = letter - 256;
    return place > 67 ? -1 : place == 67 ? 0xad : place <= ' ' ? (int)place : (int)place - 33 + 127;
}

void byte_letters_put(Pieces *pieces, const char *text, int64_t bytes) {
    char *to = pieces_room(pieces, 2 * bytes);
    for (int64_t i = 0; i < bytes; i++) {
        const uint32_t letter = letter_of((unsigned char)text[i]);
        if (letter < 0x80) {
            *to++ = (char)letter;
        } else {
            *to++ = (char)(0xc0 | letter >> 6);
            *to++ = (char)(0x80 | (letter & 0x3f));
        }
    }
    pieces->bytes = to - pieces->text;
}
