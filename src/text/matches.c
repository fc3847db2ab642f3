#include "text/matches.h"

#include <stdlib.h>

#include "text/characters.h"
#include "text/utf8.h"

const char *const behavior_names[] = {"Removed",        "Isolated",   "MergedWithPrevious",
                                      "MergedWithNext", "Contiguous", NULL};

void matches_free(Matches *matches) {
    free(matches->stretch);
    pattern_room_free(&matches->pattern);
    *matches = (Matches){0};
}

static void add(Matches *matches, int64_t start, int64_t end, bool match) {
    if (matches->count == matches->room) {
        matches->room = 2 * matches->room + 64;
        matches->stretch = realloc(matches->stretch, (size_t)matches->room * sizeof *matches->stretch);
        CHECK_MEMORY(matches->stretch, "no memory for %lld matches", (long long)matches->room);
    }
    matches->stretch[matches->count++] = (Stretch){start, end, match};
}

void matches_of_characters(Matches *matches, const char *text, int64_t bytes, bool (*is)(uint32_t character)) {
    int64_t rest = 0; /* where the text since the last match begins */
    matches->count = 0;
    for (const char *at = text, *end = text + bytes; at < end;) {
        const int64_t start = at - text;
        if (!is(utf8_next(&at))) continue;
        if (rest < start) add(matches, rest, start, false);
        rest = at - text;
        add(matches, start, rest, true);
    }
    if (rest < bytes) add(matches, rest, bytes, false);
}

static int64_t behind_character(const char *text, int64_t bytes, int64_t at) {
    const char *next = text + at;
    if (at < bytes) utf8_next(&next);
    return at < bytes ? next - text : at + 1;
}

/* An empty match counts too, unless the match before it ends at the same place. An empty text has no match. */
Status matches_of_pattern(Matches *matches, const char *text, int64_t bytes, const Pattern *pattern) {
    int64_t rest = 0, from = 0, last_end = -1;
    matches->count = 0;
    while (bytes > 0 && from <= bytes) {
        bool found;
        PatternMatch match;
        const Status status = pattern_find(pattern, &matches->pattern, text, bytes, from, &found, &match);
        if (status) return status;
        if (!found) break;
        if (match.start == match.end && match.end == last_end) {
            from = behind_character(text, bytes, match.end);
            continue;
        }
        if (rest < match.start) add(matches, rest, match.start, false);
        add(matches, match.start, match.end, true);
        from = rest = last_end = match.end;
    }
    if (rest < bytes) add(matches, rest, bytes, false);
    return OK;
}

void matches_of_spaces(Matches *matches, const char *text, int64_t bytes) {
    enum { SPACE, WORD, OTHER } kind, before = SPACE;
    int64_t begin = 0;
    matches->count = 0;
    for (const char *at = text, *end = text + bytes; at < end;) {
        const int64_t start = at - text;
        const uint32_t character = utf8_next(&at);
        kind = character_is_word(character) ? WORD : character_is_space(character) ? SPACE : OTHER;
        if (kind != before && begin < start) {
            add(matches, begin, start, before == SPACE);
            begin = start;
        }
        before = kind;
    }
    if (begin < bytes) add(matches, begin, bytes, before == SPACE);
}

void matches_invert(Matches *matches) {
    for (int64_t i = 0; i < matches->count; i++) matches->stretch[i].match = !matches->stretch[i].match;
}

/* Joins each stretch with the one before it if `joins` says so for their kinds. */
static void join(Matches *matches, bool (*joins)(bool before, bool match)) {
    int64_t kept = 0;
    bool before = false;
    for (int64_t i = 0; i < matches->count; i++) {
        const Stretch stretch = matches->stretch[i];
        if (kept > 0 && joins(before, stretch.match))
            matches->stretch[kept - 1].end = stretch.end;
        else
            matches->stretch[kept++] = stretch;
        before = stretch.match;
    }
    matches->count = kept;
}

static bool joins_same(bool before, bool match) { return before == match; }
static bool joins_previous(bool before, bool match) { return match && !before; }

static void reverse(Matches *matches) {
    for (int64_t i = 0, j = matches->count - 1; i < j; i++, j--) {
        const Stretch stretch = matches->stretch[i];
        matches->stretch[i] = matches->stretch[j];
        matches->stretch[j] = stretch;
    }
}

/* The same as MERGED_WITH_PREVIOUS, seen from the end of the text. */
static void join_next(Matches *matches) {
    int64_t kept = 0;
    bool before = false;
    reverse(matches);
    for (int64_t i = 0; i < matches->count; i++) {
        const Stretch stretch = matches->stretch[i];
        if (kept > 0 && joins_previous(before, stretch.match))
            matches->stretch[kept - 1].start = stretch.start;
        else
            matches->stretch[kept++] = stretch;
        before = stretch.match;
    }
    matches->count = kept;
    reverse(matches);
}

void matches_behave(Matches *matches, Behavior behavior) {
    if (behavior == REMOVED) return;
    if (behavior == CONTIGUOUS) join(matches, joins_same);
    if (behavior == MERGED_WITH_PREVIOUS) join(matches, joins_previous);
    if (behavior == MERGED_WITH_NEXT) join_next(matches);
    for (int64_t i = 0; i < matches->count; i++) matches->stretch[i].match = false;
}
