/* Where a text is cut: stretches that cover it, in order, each a match of what is looked for or what lies between two.
 */
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
/* Fill `matches` with the stretches of a text. */
void matches_of_characters(Matches *matches, const char *text, int64_t bytes, bool (*is)(uint32_t character));
Status matches_of_pattern(Matches *matches, const char *text, int64_t bytes, const Pattern *pattern);
/* Words and runs of other characters that are not spaces; spaces are the matches. */
void matches_of_spaces(Matches *matches, const char *text, int64_t bytes);
void matches_invert(Matches *matches);

/* What becomes of a match: gone, a piece of its own, the end of the piece before, the beginning of the piece behind, or
 * one piece with the matches around it. */
typedef enum Behavior { REMOVED, ISOLATED, MERGED_WITH_PREVIOUS, MERGED_WITH_NEXT, CONTIGUOUS } Behavior;
extern const char *const behavior_names[];

/* Makes the stretches the pieces that `behavior` asks for: those with `match` are to be removed. */
void matches_behave(Matches *matches, Behavior behavior);

#endif
