/* What a tokenizer looks for in a text: a string, or a regular expression in the dialect of Oniguruma. PCRE2 runs the
 * expressions, so they must mean the same there or be translatable (text/dialect.h). */
#ifndef FLAME_TEXT_PATTERN_H
#define FLAME_TEXT_PATTERN_H

#include "text/fields.h"

typedef struct Pattern Pattern;

/* Reads the key "pattern": {"String": ...} or {"Regex": ...}. BAD_INPUT (logged) if it cannot be used. The caller frees
 * the pattern. */
Status pattern_read(const Fields *fields, Pattern **pattern);
/* Compiles a regular expression of this program itself. */
Pattern *pattern_own(const char *expression);
void pattern_free(Pattern *pattern);

/* Where a match begins and ends, in bytes. */
typedef struct PatternMatch {
    int64_t start, end;
} PatternMatch;

/* What one thread needs for matching; {0} is empty. */
typedef struct PatternRoom {
    struct pcre2_real_match_data_8 *data;
    char reason[200]; /* why a text could not be matched */
} PatternRoom;
void pattern_room_free(PatternRoom *room);

/* Finds the first match that begins at `from` or later. *found says whether there is one. BAD_INPUT, with the reason in
 * `room`, if the expression takes too long or too much memory. */
Status pattern_find(const Pattern *pattern, PatternRoom *room, const char *text, int64_t bytes, int64_t from,
                    bool *found, PatternMatch *match);

#endif
