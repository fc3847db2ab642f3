#include "text/pre_tokenizers.h"

#include <string.h>

#include "text/byte_letters.h"
#include "text/characters.h"
#include "text/utf8.h"

/* Cuts each piece. The text itself does not change. */
static Status cut(const Step *step, StepRoom *room, Pieces *in, Pieces *out, Behavior behavior,
                  Status (*match)(const Step *step, Matches *matches, const char *text, int64_t bytes)) {
    for (int64_t i = 0; i < in->count; i++) {
        const Piece piece = in->piece[i];
        if (piece.token >= 0) {
            pieces_place(out, piece);
            continue;
        }
        const Status status = match(step, &room->matches, in->text + piece.start, piece.bytes);
        if (status) return status;
        matches_behave(&room->matches, behavior);
        for (int64_t j = 0; j < room->matches.count; j++) {
            const Stretch stretch = room->matches.stretch[j];
            if (stretch.match || stretch.start == stretch.end) continue;
            pieces_place(out, (Piece){.start = piece.start + stretch.start,
                                      .bytes = stretch.end - stretch.start,
                                      .token = -1,
                                      .from_start = piece.from_start && stretch.start == 0});
        }
    }
    step_move_text(in, out);
    return OK;
}

/* Digits, Punctuation and Whitespace cut at characters. */

static Status match_numbers(const Step *step, Matches *matches, const char *text, int64_t bytes) {
    (void)step;
    matches_of_characters(matches, text, bytes, character_is_number);
    return OK;
}

static Status read_digits(Step *step, const Fields *fields) {
    bool apart = false;
    const Status status = fields_flag(fields, "individual_digits", REQUIRED, &apart);
    step->behavior = apart ? ISOLATED : CONTIGUOUS;
    return status;
}

static Status run_digits(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    return cut(step, room, in, out, step->behavior, match_numbers);
}

static Status match_punctuation(const Step *step, Matches *matches, const char *text, int64_t bytes) {
    (void)step;
    matches_of_characters(matches, text, bytes, character_is_punctuation);
    return OK;
}

static Status read_behavior(Step *step, const Fields *fields, Presence presence) {
    int behavior = ISOLATED;
    const Status status = fields_choice(fields, "behavior", presence, behavior_names, &behavior);
    step->behavior = (Behavior)behavior;
    return status;
}

static Status read_punctuation(Step *step, const Fields *fields) { return read_behavior(step, fields, OPTIONAL); }

static Status run_punctuation(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    return cut(step, room, in, out, step->behavior, match_punctuation);
}

static Status match_spaces(const Step *step, Matches *matches, const char *text, int64_t bytes) {
    (void)step;
    matches_of_characters(matches, text, bytes, character_is_space);
    return OK;
}

static Status run_whitespace_split(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    return cut(step, room, in, out, REMOVED, match_spaces);
}

static Status run_bert(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    pieces_clear(&room->other);
    const Status status = cut(step, room, in, &room->other, REMOVED, match_spaces);
    return status ? status : cut(step, room, &room->other, out, ISOLATED, match_punctuation);
}

static Status match_words(const Step *step, Matches *matches, const char *text, int64_t bytes) {
    (void)step;
    matches_of_spaces(matches, text, bytes);
    return OK;
}

static Status run_whitespace(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    return cut(step, room, in, out, REMOVED, match_words);
}

/* Split */

enum { INVERT };

static Status read_split(Step *step, const Fields *fields) {
    Status status = read_behavior(step, fields, REQUIRED);
    if (!status) status = fields_flag(fields, "invert", REQUIRED, &step->flag[INVERT]);
    return status ? status : pattern_read(fields, &step->pattern);
}

static Status match_split(const Step *step, Matches *matches, const char *text, int64_t bytes) {
    const Status status = matches_of_pattern(matches, text, bytes, step->pattern);
    if (step->flag[INVERT]) matches_invert(matches);
    return status;
}

static Status run_split(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    return cut(step, room, in, out, step->behavior, match_split);
}

/* ByteLevel */

enum { PREFIX_SPACE };

static Status read_byte_level(Step *step, const Fields *fields) {
    bool use_expression = true;
    Status status = fields_flag(fields, "add_prefix_space", REQUIRED, &step->flag[PREFIX_SPACE]);
    if (!status) status = fields_flag(fields, "use_regex", OPTIONAL, &use_expression);
    if (!status && use_expression)
        step->pattern =
            pattern_own("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+");
    return status;
}

static void put_letters(Pieces *out, const char *text, int64_t bytes, bool from_start) {
    const int64_t start = out->bytes;
    byte_letters_put(out, text, bytes);
    pieces_end(out, start, -1, from_start);
}

static Status letters_of_piece(const Step *step, StepRoom *room, const char *text, int64_t bytes, bool from_start,
                               Pieces *out) {
    if (!step->pattern) {
        put_letters(out, text, bytes, from_start);
        return OK;
    }
    const Status status = matches_of_pattern(&room->matches, text, bytes, step->pattern);
    for (int64_t i = 0; !status && i < room->matches.count; i++) {
        const Stretch stretch = room->matches.stretch[i];
        put_letters(out, text + stretch.start, stretch.end - stretch.start, from_start && stretch.start == 0);
    }
    return status;
}

static Status run_byte_level(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    for (int64_t i = 0; i < in->count; i++) {
        const Piece *piece = &in->piece[i];
        const char *text = in->text + piece->start;
        Status status = OK;
        if (piece->token >= 0) {
            pieces_copy(out, in, piece);
        } else if (step->flag[PREFIX_SPACE] && piece->bytes > 0 && text[0] != ' ') {
            pieces_clear(&room->text);
            pieces_put(&room->text, " ", 1);
            pieces_put(&room->text, text, piece->bytes);
            status = letters_of_piece(step, room, room->text.text, room->text.bytes, piece->from_start, out);
        } else {
            status = letters_of_piece(step, room, text, piece->bytes, piece->from_start, out);
        }
        if (status) return status;
    }
    return OK;
}

/* Metaspace: spaces become a mark with which words begin. */

enum { SPLIT };
enum { PREPEND_ALWAYS, PREPEND_FIRST, PREPEND_NEVER };
static const char *const prepend_names[] = {"always", "first", "never", NULL};

static Status read_metaspace(Step *step, const Fields *fields) {
    bool prefix_space = true;
    step->flag[SPLIT] = true;
    Status status = fields_character(fields, "replacement", REQUIRED, &step->character);
    if (!status) status = fields_choice(fields, "prepend_scheme", OPTIONAL, prepend_names, &step->choice);
    if (!status) status = fields_flag(fields, "add_prefix_space", OPTIONAL, &prefix_space);
    if (!status) status = fields_flag(fields, "split", OPTIONAL, &step->flag[SPLIT]);
    if (status || prefix_space || step->choice == PREPEND_NEVER) return status;
    return fields_refuse(fields, "\"add_prefix_space\" and \"prepend_scheme\" contradict each other");
}

static void metaspace_piece(const Step *step, const char *text, int64_t bytes, bool from_start, Pieces *out) {
    const char *first = text, *end = text + bytes;
    int64_t start = out->bytes;
    const bool prepend = step->choice == PREPEND_ALWAYS || (step->choice == PREPEND_FIRST && from_start);
    const uint32_t begins = utf8_next(&first);
    if (prepend && begins != ' ' && begins != step->character) pieces_put_character(out, step->character);
    for (const char *at = text; at < end;) {
        const uint32_t character = utf8_next(&at);
        const bool space = character == ' ' || character == step->character;
        if (space && step->flag[SPLIT] && out->bytes > start) {
            pieces_end(out, start, -1, from_start);
            start = out->bytes;
            from_start = false;
        }
        pieces_put_character(out, space ? step->character : character);
    }
    pieces_end(out, start, -1, from_start);
}

static Status run_metaspace(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    (void)room;
    for (int64_t i = 0; i < in->count; i++) {
        const Piece *piece = &in->piece[i];
        if (piece->token >= 0 || piece->bytes == 0)
            pieces_copy(out, in, piece);
        else
            metaspace_piece(step, in->text + piece->start, piece->bytes, piece->from_start, out);
    }
    return OK;
}

const StepKind pre_tokenizer_kinds[] = {{"ByteLevel", read_byte_level, run_byte_level},
                                        {"Metaspace", read_metaspace, run_metaspace},
                                        {"Split", read_split, run_split},
                                        {"Whitespace", NULL, run_whitespace},
                                        {"WhitespaceSplit", NULL, run_whitespace_split},
                                        {"BertPreTokenizer", NULL, run_bert},
                                        {"Digits", read_digits, run_digits},
                                        {"Punctuation", read_punctuation, run_punctuation},
                                        {0}};
