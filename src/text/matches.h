/* Where a text is cut: stretches that cover it in order. Each is either a match of what is searched for, which may be
 * empty, or the text between two matches. */
#ifndef FLAME_TEXT_MATCHES_H
#define FLAME_TEXT_MATCHES_H

#include "text/pattern.h"
#include "text/pieces.h"

typedef struct Stretch {
    int64_t start, end;
    bool match;
} Stretch;

/* {0} is empty. */
typedef struct Matches {
    Stretch *stretch;
    int64_t count, room;
    PatternRoom pattern;
} Matches;

void matches_free(Matches *matches);
/* These fill `matches` with the stretches of a text. In matches_of_characters each character for which `is` holds is a
 * match. */
void matches_of_characters(Matches *matches, const char *text, int64_t bytes, bool (*is)(uint32_t character));
Status matches_of_pattern(Matches *matches, const char *text, int64_t bytes, const Pattern *pattern);
/* The matches are runs of spaces. Between them, each word and each run of other characters is a stretch. */
void matches_of_spaces(Matches *matches, const char *text, int64_t bytes);
void matches_invert(Matches *matches);

/* What becomes of a match: removed, a piece of its own, the end of the piece before, the beginning of the piece behind,
 * or one piece with the matches next to it. */
typedef enum Behavior { REMOVED, ISOLATED, MERGED_WITH_PREVIOUS, MERGED_WITH_NEXT, CONTIGUOUS } Behavior;
extern const char *const behavior_names[];

/* Turns the stretches into the pieces that `behavior` asks for. The caller removes the stretches that still have
 * `match` set. */
void matches_behave(Matches *matches, Behavior behavior);

#endif
