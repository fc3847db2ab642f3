#include "text/step.h"

#include <stdlib.h>
#include <string.h>

void step_room_free(StepRoom *room) {
    matches_free(&room->matches);
    pieces_free(&room->text);
    pieces_free(&room->other);
    free(room->character);
    *room = (StepRoom){0};
}

static const StepKind *find_kind(const StepKind *kinds, const char *type) {
    while (kinds->type && strcmp(kinds->type, type) != 0) kinds++;
    return kinds->type ? kinds : NULL;
}

static Status read_step(const Fields *fields, const StepKind *kinds, Steps *steps) {
    const StepKind *kind = find_kind(kinds, fields->type);
    if (!kind) return fields_refuse(fields, "this program does not know this type");
    steps->step = realloc(steps->step, (size_t)(steps->count + 1) * sizeof *steps->step);
    CHECK_MEMORY(steps->step, "no memory for %d steps of a tokenizer", steps->count + 1);
    Step *step = &steps->step[steps->count++];
    *step = (Step){.kind = kind};
    return kind->read ? kind->read(step, fields) : OK;
}

Status steps_read(const char *path, const char *part, const char *key, const StepKind *kinds, const json_t *object,
                  Steps *steps) {
    Fields fields;
    if (!object || json_is_null(object)) return OK;
    Status status = fields_open(path, part, object, &fields);
    if (status || strcmp(fields.type, "Sequence") != 0) return status ? status : read_step(&fields, kinds, steps);
    const json_t *list;
    status = fields_list(&fields, key, REQUIRED, &list);
    for (size_t i = 0; !status && i < json_array_size(list); i++)
        status = steps_read(path, part, key, kinds, json_array_get(list, i), steps);
    return status;
}

void steps_free(Steps *steps) {
    for (int i = 0; i < steps->count; i++) {
        pattern_free(steps->step[i].pattern);
        charsmap_free(steps->step[i].charsmap);
        free(steps->step[i].text);
    }
    free(steps->step);
    *steps = (Steps){0};
}

Status steps_run(const Steps *steps, StepRoom *room, Pieces *pieces, Pieces *other) {
    for (int i = 0; i < steps->count; i++) {
        pieces_clear(other);
        const Status status = steps->step[i].kind->run(&steps->step[i], room, pieces, other);
        if (status) return status;
        const Pieces result = *other;
        *other = *pieces;
        *pieces = result;
    }
    return OK;
}

Status step_read_text(Step *step, const Fields *fields, const char *key) {
    const char *text = "";
    const Status status = fields_text(fields, key, REQUIRED, &text, &step->text_bytes);
    step->text = malloc((size_t)step->text_bytes + 1);
    CHECK_MEMORY(step->text, "no memory for %lld bytes of a tokenizer", (long long)step->text_bytes);
    memcpy(step->text, text, (size_t)step->text_bytes);
    return status;
}

Status step_read_replace(Step *step, const Fields *fields) {
    const Status status = step_read_text(step, fields, "content");
    return status ? status : pattern_read(fields, &step->pattern);
}

void step_put_replaced(const Step *step, const char *text, const Stretch *stretch, Pieces *out) {
    if (stretch->match)
        pieces_put(out, step->text, step->text_bytes);
    else
        pieces_put(out, text + stretch->start, stretch->end - stretch->start);
}

void step_move_text(Pieces *in, Pieces *out) {
    char *text = out->text;
    const int64_t room = out->room;
    out->text = in->text;
    out->bytes = in->bytes;
    out->room = in->room;
    in->text = text;
    in->bytes = 0;
    in->room = room;
}
