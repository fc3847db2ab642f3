#include "text/dialect.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/pieces.h"

/* The classes whose members differ: PCRE2's \s contains U+180E, and its \w contains neither marks nor letters in
 * circles. */
static const char spaces[] = "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"
                             "\\x{205f}\\x{3000}";
static const char words[] = "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}"
                            "\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}";
/* Outside of [ ] Oniguruma's \w also contains the superscripts and fractions of Latin-1. */
static const char words_alone[] = "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";

typedef struct Translation {
    const char *start, *at, *end;
    Pieces to;
    bool in_class;
    int sets;     /* open within the class */
    char *reason; /* [256], set once something cannot be translated */
} Translation;

static void put(Translation *translation, const char *text) {
    pieces_put(&translation->to, text, (int64_t)strlen(text));
}

static void refuse(Translation *translation, const char *what) {
    if (!translation->reason[0]) snprintf(translation->reason, 256, "%s is not supported", what);
}

static void put_class(Translation *translation, const char *members, const char *members_alone, bool negated) {
    if (translation->in_class && negated) {
        refuse(translation, "\\S or \\W inside of [ ]");
        return;
    }
    if (!translation->in_class) put(translation, negated ? "[^" : "[");
    put(translation, members);
    if (!translation->in_class) put(translation, members_alone);
    if (!translation->in_class) put(translation, "]");
}

/* Translates \p{L}, \p{Lu}, \P{N}, or a script. Oniguruma's scripts do not contain the characters that several scripts
 * share. */
static void translate_property(Translation *translation, char letter) {
    const char *name = translation->at;
    int64_t bytes = 0;
    if (name < translation->end && *name == '{') {
        const char *close = memchr(name, '}', (size_t)(translation->end - name));
        name++;
        bytes = close ? close - name : 0;
        translation->at = close ? close + 1 : translation->end;
    }
    const bool negated = bytes > 0 && *name == '^';
    name += negated;
    bytes -= negated;
    for (int64_t i = 0; i < bytes; i++)
        if (!isalpha((unsigned char)name[i]) && name[i] != '_') bytes = 0;
    if (bytes <= 0 || bytes > 60 || name + bytes > translation->end) {
        refuse(translation, "this form of \\p");
        return;
    }
    put(translation, (letter == 'P') != negated ? "\\P{" : "\\p{");
    if (bytes > 2) put(translation, "sc:");
    pieces_put(&translation->to, name, bytes);
    put(translation, "}");
}

/* Translates \uHHHH. */
static void translate_code(Translation *translation) {
    char code[16];
    int digits = 0;
    while (digits < 4 && translation->at + digits < translation->end &&
           isxdigit((unsigned char)translation->at[digits]))
        digits++;
    if (digits < 4) refuse(translation, "this form of \\u");
    snprintf(code, sizeof code, "\\x{%.*s}", digits, translation->at);
    put(translation, code);
    translation->at += digits;
}

/* What follows \x: {HHHH}, or two digits, which are copied like other characters. */
static void copy_braces(Translation *translation) {
    const char first = translation->at < translation->end ? *translation->at : 0;
    if (first != '{' && !isxdigit((unsigned char)first)) refuse(translation, "\\x without digits");
    if (first != '{') return;
    const char *close = memchr(translation->at, '}', (size_t)(translation->end - translation->at));
    const char *end = close ? close + 1 : translation->end;
    pieces_put(&translation->to, translation->at, end - translation->at);
    translation->at = end;
}

static void translate_escape(Translation *translation) {
    if (translation->at + 1 >= translation->end) {
        refuse(translation, "\\ at the end");
        return;
    }
    const char letter = translation->at[1];
    translation->at += 2;
    if (letter == 's' || letter == 'S') {
        put_class(translation, spaces, "", letter == 'S');
    } else if (letter == 'w' || letter == 'W') {
        put_class(translation, words, words_alone, letter == 'W');
    } else if (letter == 'p' || letter == 'P') {
        translate_property(translation, letter);
    } else if (letter == 'u') {
        translate_code(translation);
    } else if (isalnum((unsigned char)letter) && !strchr("dDrntfxA", letter)) {
        refuse(translation, (char[]){'\\', letter, 0});
    } else {
        pieces_put(&translation->to, translation->at - 2, 2);
        if (letter == 'x') copy_braces(translation);
    }
}

static bool next_is(const Translation *translation, const char *text) {
    const size_t length = strlen(text);
    return (size_t)(translation->end - translation->at) >= length && memcmp(translation->at, text, length) == 0;
}

/* Inside [ ] Oniguruma has intersections, which PCRE2 lacks, and nested sets, whose members belong to the class. */
static void translate_class_character(Translation *translation) {
    const char letter = *translation->at;
    if (next_is(translation, "[^") || next_is(translation, "[:") || next_is(translation, "&&"))
        refuse(translation, "[^ or [: within [ ], or &&");
    const bool nested = letter == '[' || (letter == ']' && translation->sets > 0);
    if (nested) translation->sets += letter == '[' ? 1 : -1;
    if (letter == ']' && !nested) translation->in_class = false;
    if (!nested) pieces_put(&translation->to, translation->at, 1);
    translation->at++;
}

static bool begins_branch(const Translation *translation) {
    const char *at = translation->at;
    const int64_t before = at - translation->start;
    if (before >= 3 && memcmp(at - 3, "(?:", 3) == 0) return before == 3 || at[-4] != '\\';
    return before == 0 || ((at[-1] == '|' || at[-1] == '(') && (before == 1 || at[-2] != '\\'));
}

/* (?m is (?s in PCRE2. An option in the middle of a branch holds for the branches behind it, too, which in Oniguruma
 * become a part of its own: a(?i)b|c is a(?i:b|c), and not a(?i:b)|(?i:c). */
static void check_options(Translation *translation) {
    if (!next_is(translation, "(?")) return;
    const char *options = translation->at + 2, *end = options;
    while (end < translation->end && (isalpha((unsigned char)*end) || *end == '-')) end++;
    if (memchr(options, 'm', (size_t)(end - options))) refuse(translation, "(?m");
    if (end > options && end < translation->end && *end == ')' && !begins_branch(translation))
        refuse(translation, "an option in the middle of a branch");
}

/* a{1,3}+ is possessive in PCRE2 and (?:a{1,3})+ in Oniguruma; a{,3} is a{0,3} only from PCRE2 10.43 on. */
static void translate_character(Translation *translation) {
    if (next_is(translation, "}+")) refuse(translation, "{n,m}+");
    if (next_is(translation, "{,")) refuse(translation, "{,n}");
    check_options(translation);
    if (next_is(translation, "(?<") || next_is(translation, "(*"))
        if (!next_is(translation, "(?<=") && !next_is(translation, "(?<!")) refuse(translation, "this kind of group");
    if (*translation->at != '[') {
        pieces_put(&translation->to, translation->at++, 1);
        return;
    }
    translation->in_class = true;
    for (const char *opening = "[^]"; *opening; opening++) /* a ] that comes first is a member */
        if (translation->at < translation->end && *translation->at == *opening)
            pieces_put(&translation->to, translation->at++, 1);
}

char *dialect_translate(const char *expression, int64_t bytes, char reason[256]) {
    Translation translation = {.start = expression, .at = expression, .end = expression + bytes, .reason = reason};
    reason[0] = 0;
    if (memchr(expression, 0, (size_t)bytes)) refuse(&translation, "a zero byte");
    while (translation.at < translation.end && !reason[0]) {
        if (*translation.at == '\\')
            translate_escape(&translation);
        else if (translation.in_class)
            translate_class_character(&translation);
        else
            translate_character(&translation);
    }
    pieces_put(&translation.to, "", 1);
    if (!reason[0]) return translation.to.text;
    pieces_free(&translation.to);
    return NULL;
}
