/* The steps of a tokenizer: a normalizer, a pre-tokenizer and a decoder are lists of steps. Each step turns pieces into
 * pieces. */
#ifndef FLAME_TEXT_STEP_H
#define FLAME_TEXT_STEP_H

#include "text/charsmap.h"
#include "text/fields.h"
#include "text/matches.h"
#include "text/pieces.h"

/* Working memory of one thread for running steps; {0} is empty. */
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
    Status (*read)(Step *step, const Fields *fields); /* NULL: the step has no keys */
    /* `out` is empty and receives the pieces. It may take over the text of `in`. Added tokens stay unchanged. */
    Status (*run)(const Step *step, StepRoom *room, Pieces *in, Pieces *out);
} StepKind;

/* A step, with the keys of all kinds. */
struct Step {
    const StepKind *kind;
    Pattern *pattern;
    Charsmap *charsmap;
    char *text; /* the text to insert, to remove or to find */
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

/* Reads the steps of one part of tokenizer.json. null means no steps. A "Sequence" has a list of steps in its key
 * `key`. BAD_INPUT (logged) if a type is not in `kinds`. */
Status steps_read(const char *path, const char *part, const char *key, const StepKind *kinds, const json_t *object,
                  Steps *steps);
void steps_free(Steps *steps);
/* Runs the steps on *pieces, which then holds the result. *other is working memory. BAD_INPUT, with the reason in
 * room->matches.pattern, if a regular expression cannot be matched. */
Status steps_run(const Steps *steps, StepRoom *room, Pieces *pieces, Pieces *other);

/* For kinds: reads the text of a required key into step->text. */
Status step_read_text(Step *step, const Fields *fields, const char *key);
/* For Replace, which is both a normalizer and a decoder: reads its keys, and appends a stretch of `text` or, if it is a
 * match, the replacement. */
Status step_read_replace(Step *step, const Fields *fields);
void step_put_replaced(const Step *step, const char *text, const Stretch *stretch, Pieces *out);
/* Moves the text of `in` to `out`, so that pieces keep their positions. */
void step_move_text(Pieces *in, Pieces *out);

#endif
