#include "text/characters.h"

#include <stddef.h>
#include <utf8proc.h>

typedef struct Range {
    uint32_t first, last;
} Range;

static bool in_ranges(uint32_t character, const Range *range, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (character >= range[i].first && character <= range[i].last) return true;
    return false;
}

static utf8proc_category_t category(uint32_t character) { return utf8proc_category((utf8proc_int32_t)character); }

static bool between(utf8proc_category_t kind, utf8proc_category_t first, utf8proc_category_t last) {
    return kind >= first && kind <= last;
}

bool character_is_space(uint32_t character) {
    if (character < 0x80) return character == ' ' || (character >= '\t' && character <= '\r');
    return character == 0x85 || character == 0xa0 || character == 0x1680 ||
           (character >= 0x2000 && character <= 0x200a) || character == 0x2028 || character == 0x2029 ||
           character == 0x202f || character == 0x205f || character == 0x3000;
}

bool character_is_number(uint32_t character) {
    if (character < 0x80) return character >= '0' && character <= '9';
    return between(category(character), UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NO);
}

static bool is_ascii_letter(uint32_t character) { return (character | 0x20) >= 'a' && (character | 0x20) <= 'z'; }

/* The library `tokenizers` knows the punctuation of Unicode 8. These characters have been added since. */
static const Range later_punctuation[] = {
    {0x61d, 0x61d},     {0x9fd, 0x9fd},     {0xa76, 0xa76},     {0xc77, 0xc77},     {0xc84, 0xc84},
    {0x1b7d, 0x1b7e},   {0x2e43, 0x2e5d},   {0x10ead, 0x10ead}, {0x10f55, 0x10f59}, {0x10f86, 0x10f89},
    {0x1144b, 0x1144f}, {0x1145a, 0x1145d}, {0x11660, 0x1166c}, {0x116b9, 0x116b9}, {0x1183b, 0x1183b},
    {0x11944, 0x11946}, {0x119e2, 0x119e2}, {0x11a3f, 0x11a46}, {0x11a9a, 0x11aa2}, {0x11b00, 0x11b09},
    {0x11c41, 0x11c45}, {0x11c70, 0x11c71}, {0x11ef7, 0x11ef8}, {0x11f43, 0x11f4f}, {0x11fff, 0x11fff},
    {0x12ff1, 0x12ff2}, {0x16e97, 0x16e9a}, {0x16fe2, 0x16fe2}, {0x1e95e, 0x1e95f}};

bool character_is_punctuation(uint32_t character) {
    if (character < 0x80)
        return character > ' ' && character < 0x7f && !is_ascii_letter(character) && !character_is_number(character);
    return between(category(character), UTF8PROC_CATEGORY_PC, UTF8PROC_CATEGORY_PO) &&
           !in_ranges(character, later_punctuation, sizeof later_punctuation / sizeof later_punctuation[0]);
}

/* The symbols among the ranges are letters in circles and squares, which Unicode calls alphabetic. */
bool character_is_word(uint32_t character) {
    static const Range others[] = {
        {0x200c, 0x200d}, {0x24b6, 0x24e9}, {0x1f130, 0x1f149}, {0x1f150, 0x1f169}, {0x1f170, 0x1f189}};
    if (character < 0x80) return is_ascii_letter(character) || character_is_number(character) || character == '_';
    const utf8proc_category_t kind = category(character);
    return between(kind, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_NL) || kind == UTF8PROC_CATEGORY_PC ||
           in_ranges(character, others, sizeof others / sizeof others[0]);
}

bool character_is_mark(uint32_t character) {
    return character >= 0x80 && between(category(character), UTF8PROC_CATEGORY_MN, UTF8PROC_CATEGORY_ME);
}

bool character_is_nonspacing(uint32_t character) {
    return character >= 0x80 && category(character) == UTF8PROC_CATEGORY_MN;
}

bool character_is_control(uint32_t character) {
    if (character < 0x80) return character < ' ' || character == 0x7f;
    const utf8proc_category_t kind = category(character);
    return kind == UTF8PROC_CATEGORY_CC || kind == UTF8PROC_CATEGORY_CF || kind == UTF8PROC_CATEGORY_CO;
}

bool character_is_ideograph(uint32_t character) {
    static const Range blocks[] = {{0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfaff},  {0x20000, 0x2a6df},
                                   {0x2a700, 0x2b81f}, {0x2b920, 0x2ceaf}, {0x2f800, 0x2fa1f}};
    return character >= 0x3400 && in_ranges(character, blocks, sizeof blocks / sizeof blocks[0]);
}

int character_lower(uint32_t character, uint32_t to[2]) {
    enum { DOTTED_I = 0x130, DOT_ABOVE = 0x307 }; /* the only character whose lower case has two characters */
    to[1] = DOT_ABOVE;
    if (character < 0x80)
        to[0] = character >= 'A' && character <= 'Z' ? character | 0x20 : character;
    else
        to[0] = character == DOTTED_I ? 'i' : (uint32_t)utf8proc_tolower((utf8proc_int32_t)character);
    return character == DOTTED_I ? 2 : 1;
}
