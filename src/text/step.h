/* The steps of a tokenizer: a normalizer, a pre-tokenizer or a decoder is a list of them. Each takes pieces and makes
 * pieces. */
#ifndef FLAME_TEXT_STEP_H
#define FLAME_TEXT_STEP_H

#include "text/charsmap.h"
#include "text/fields.h"
#include "text/matches.h"
#include "text/pieces.h"

/* What one thread needs for steps; {0} is empty. */
typedef struct StepRoom {
    Matches matches;
    Pieces text, other; /* short-lived texts */
    int32_t *character;
    int64_t characters;
} StepRoom;
void step_room_free(StepRoom *room);

typedef struct Step Step;

typedef struct StepKind {
    const char *type;                                 /* in tokenizer.json; NULL ends a table */
    Status (*read)(Step *step, const Fields *fields); /* NULL: it has no keys */
    /* `out` is empty and receives the pieces; `in` may lose its text to it. Added tokens stay as they are. */
    Status (*run)(const Step *step, StepRoom *room, Pieces *in, Pieces *out);
} StepKind;

/* The keys of all kinds. */
struct Step {
    const StepKind *kind;
    Pattern *pattern;
    Charsmap *charsmap;
    char *text; /* what is put in, taken away or looked for */
    int64_t text_bytes;
    uint32_t character;
    Behavior behavior;
    int choice;
    int64_t start, stop;
    bool flag[4];
};

/* {0}: no step. */
typedef struct Steps {
    Step *step;
    int count;
} Steps;

/* Reads a part of tokenizer.json; null is no step. "Sequence" holds others in the list `key`. BAD_INPUT (logged) if a
 * type is not in `kinds`. */
Status steps_read(const char *path, const char *part, const char *key, const StepKind *kinds, const json_t *object,
                  Steps *steps);
void steps_free(Steps *steps);
/* Runs the steps on *pieces, which afterwards are the result; *other is room for pieces. */
Status steps_run(const Steps *steps, StepRoom *room, Pieces *pieces, Pieces *other);

/* For kinds: keeps the text of a key that must be there. */
Status step_read_text(Step *step, const Fields *fields, const char *key);
/* Replace, which is a normalizer and a decoder: its keys, and what becomes of a stretch of `text`. */
Status step_read_replace(Step *step, const Fields *fields);
void step_put_replaced(const Step *step, const char *text, const Stretch *stretch, Pieces *out);
/* Moves the text of `in` to `out`, so that pieces of it have the places they had. */
void step_move_text(Pieces *in, Pieces *out);

#endif
