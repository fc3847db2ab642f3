#include "text/normalizers.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "text/byte_letters.h"
#include "text/characters.h"
#include "text/unicode_form.h"
#include "text/utf8.h"

/* Appends a text in its normalized form. Sets *from_start to false if the beginning of the text is removed. */
typedef Status (*Normalize)(const Step *step, StepRoom *room, const char *text, int64_t bytes, Pieces *out,
                            bool *from_start);

static Status each_piece(const Step *step, StepRoom *room, const Pieces *in, Pieces *out, Normalize normalize) {
    for (int64_t i = 0; i < in->count; i++) {
        const Piece *piece = &in->piece[i];
        if (piece->token >= 0) {
            pieces_copy(out, in, piece);
            continue;
        }
        const int64_t start = out->bytes;
        bool from_start = piece->from_start;
        const Status status = normalize(step, room, in->text + piece->start, piece->bytes, out, &from_start);
        if (status) return status;
        pieces_end(out, start, -1, from_start);
    }
    return OK;
}

/* NFC, NFD, NFKC, NFKD */

static Status to_form(StepRoom *room, const char *text, int64_t bytes, Pieces *out, UnicodeForm form) {
    unicode_form_put(out, text, bytes, form, &room->character, &room->characters);
    return OK;
}

#define FORM(name, form)                                                                                               \
    static Status name##_one(const Step *step, StepRoom *room, const char *text, int64_t bytes, Pieces *out,           \
                             bool *from_start) {                                                                       \
        (void)step;                                                                                                    \
        (void)from_start;                                                                                              \
        return to_form(room, text, bytes, out, form);                                                                  \
    }                                                                                                                  \
    static Status name(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {                                    \
        return each_piece(step, room, in, out, name##_one);                                                            \
    }
FORM(run_nfc, NFC)
FORM(run_nfd, NFD)
FORM(run_nfkc, NFKC)
FORM(run_nfkd, NFKD)

/* Lowercase */

static void put_lower(Pieces *out, const char *text, int64_t bytes) {
    for (const char *at = text, *end = text + bytes; at < end;) {
        uint32_t lower[2];
        const int count = character_lower(utf8_next(&at), lower);
        for (int i = 0; i < count; i++) pieces_put_character(out, lower[i]);
    }
}

static Status lowercase(const Step *step, StepRoom *room, const char *text, int64_t bytes, Pieces *out,
                        bool *from_start) {
    (void)step;
    (void)room;
    (void)from_start;
    put_lower(out, text, bytes);
    return OK;
}

static Status run_lowercase(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    return each_piece(step, room, in, out, lowercase);
}

/* Strip */

enum { STRIP_LEFT, STRIP_RIGHT };

static Status read_strip(Step *step, const Fields *fields) {
    const Status status = fields_flag(fields, "strip_left", REQUIRED, &step->flag[STRIP_LEFT]);
    return status ? status : fields_flag(fields, "strip_right", REQUIRED, &step->flag[STRIP_RIGHT]);
}

static bool ends_with_space(const char *text, int64_t bytes) {
    const char *last = text + bytes - utf8_last(text, bytes);
    return character_is_space(utf8_next(&last));
}

static Status strip(const Step *step, StepRoom *room, const char *text, int64_t bytes, Pieces *out, bool *from_start) {
    (void)room;
    const char *end = text + bytes, *start = text;
    for (const char *at = text; step->flag[STRIP_LEFT] && at < end && character_is_space(utf8_next(&at));) start = at;
    while (step->flag[STRIP_RIGHT] && end > start && ends_with_space(start, end - start))
        end -= utf8_last(start, end - start);
    *from_start = *from_start && start == text;
    pieces_put(out, start, end - start);
    return OK;
}

static Status run_strip(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    return each_piece(step, room, in, out, strip);
}

/* StripAccents, Nmt and BertNormalizer remove characters or replace them by others. */

enum { GONE = UINT32_MAX };

static void put_changed(Pieces *out, const char *text, int64_t bytes, uint32_t (*change)(uint32_t character),
                        bool *from_start) {
    bool first = true;
    for (const char *at = text, *end = text + bytes; at < end; first = false) {
        const uint32_t character = change(utf8_next(&at));
        if (character != GONE) pieces_put_character(out, character);
        if (first && character == GONE) *from_start = false;
    }
}

static uint32_t without_marks(uint32_t character) { return character_is_mark(character) ? GONE : character; }

static Status strip_accents(const Step *step, StepRoom *room, const char *text, int64_t bytes, Pieces *out,
                            bool *from_start) {
    (void)step;
    (void)room;
    put_changed(out, text, bytes, without_marks, from_start);
    return OK;
}

static Status run_strip_accents(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    return each_piece(step, room, in, out, strip_accents);
}

/* SentencePiece's cleaning: removes control characters and replaces unusual spaces by spaces. */
static uint32_t nmt_character(uint32_t c) {
    if ((c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f || c == 0x8f || c == 0x9f) return GONE;
    if (c == 9 || c == 0xa || c == 0xc || c == 0xd || c == 0x1680 || (c >= 0x200b && c <= 0x200f) || c == 0x2028 ||
        c == 0x2029 || c == 0x2581 || c == 0xfeff || c == 0xfffd)
        return ' ';
    return c;
}

static Status nmt(const Step *step, StepRoom *room, const char *text, int64_t bytes, Pieces *out, bool *from_start) {
    (void)step;
    (void)room;
    put_changed(out, text, bytes, nmt_character, from_start);
    return OK;
}

static Status run_nmt(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    return each_piece(step, room, in, out, nmt);
}

/* BertNormalizer */

enum { CLEAN_TEXT, IDEOGRAPHS, STRIP_MARKS, LOWERCASE };

static Status read_bert(Step *step, const Fields *fields) {
    Status status = fields_flag(fields, "clean_text", REQUIRED, &step->flag[CLEAN_TEXT]);
    if (!status) status = fields_flag(fields, "handle_chinese_chars", REQUIRED, &step->flag[IDEOGRAPHS]);
    if (!status) status = fields_flag(fields, "lowercase", REQUIRED, &step->flag[LOWERCASE]);
    step->flag[STRIP_MARKS] = step->flag[LOWERCASE];
    return status ? status : fields_flag(fields, "strip_accents", OPTIONAL, &step->flag[STRIP_MARKS]);
}

static uint32_t clean_character(uint32_t c) {
    if (c == '\t' || c == '\n' || c == '\r') return ' ';
    if (c == 0 || c == 0xfffd || character_is_control(c)) return GONE;
    return character_is_space(c) ? ' ' : c;
}

static uint32_t without_nonspacing(uint32_t character) { return character_is_nonspacing(character) ? GONE : character; }

static void put_ideographs_apart(Pieces *out, const char *text, int64_t bytes) {
    for (const char *at = text, *end = text + bytes; at < end;) {
        const uint32_t character = utf8_next(&at);
        const bool apart = character_is_ideograph(character);
        if (apart) pieces_put(out, " ", 1);
        pieces_put_character(out, character);
        if (apart) pieces_put(out, " ", 1);
    }
}

/* The result of the last change becomes the input of the next one. */
static void turn(StepRoom *room) {
    const Pieces text = room->text;
    room->text = room->other;
    room->other = text;
    pieces_clear(&room->other);
}

static Status bert(const Step *step, StepRoom *room, const char *text, int64_t bytes, Pieces *out, bool *from_start) {
    Pieces *now = &room->text, *next = &room->other;
    pieces_clear(now);
    pieces_clear(next);
    pieces_put(now, text, bytes);
    if (step->flag[CLEAN_TEXT]) {
        put_changed(next, now->text, now->bytes, clean_character, from_start);
        turn(room);
    }
    if (step->flag[IDEOGRAPHS]) {
        put_ideographs_apart(next, now->text, now->bytes);
        turn(room);
    }
    if (step->flag[STRIP_MARKS]) {
        to_form(room, now->text, now->bytes, next, NFD);
        turn(room);
        put_changed(next, now->text, now->bytes, without_nonspacing, from_start);
        turn(room);
    }
    if (step->flag[LOWERCASE])
        put_lower(out, now->text, now->bytes);
    else
        pieces_put(out, now->text, now->bytes);
    return OK;
}

static Status run_bert(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    return each_piece(step, room, in, out, bert);
}

/* Prepend and Replace */

static Status read_prepend(Step *step, const Fields *fields) { return step_read_text(step, fields, "prepend"); }

static Status prepend(const Step *step, StepRoom *room, const char *text, int64_t bytes, Pieces *out,
                      bool *from_start) {
    (void)room;
    (void)from_start;
    if (bytes > 0) pieces_put(out, step->text, step->text_bytes);
    pieces_put(out, text, bytes);
    return OK;
}

static Status run_prepend(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    return each_piece(step, room, in, out, prepend);
}

/* Whether a match at the start loses the first character: the replacement of several characters counts as the last of
 * them. */
static bool takes_start(const Step *step, const char *text, const Stretch *stretch) {
    const int64_t bytes = stretch->end - stretch->start;
    return bytes > 0 && (step->text_bytes == 0 || utf8_last(text + stretch->start, bytes) != bytes);
}

static Status replace(const Step *step, StepRoom *room, const char *text, int64_t bytes, Pieces *out,
                      bool *from_start) {
    const Status status = matches_of_pattern(&room->matches, text, bytes, step->pattern);
    for (int64_t i = 0; !status && i < room->matches.count; i++) {
        const Stretch *stretch = &room->matches.stretch[i];
        if (stretch->match && i == 0 && takes_start(step, text, stretch)) *from_start = false;
        step_put_replaced(step, text, stretch, out);
    }
    return status;
}

static Status run_replace(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    return each_piece(step, room, in, out, replace);
}

/* Precompiled */

enum { SHORT_CLUSTER = 6 }; /* bytes: a shorter cluster is looked up as a whole */

static Status read_precompiled(Step *step, const Fields *fields) {
    const char *text = "";
    int64_t bytes = 0;
    const Status status = fields_text(fields, "precompiled_charsmap", REQUIRED, &text, &bytes);
    if (status) return status;
    step->charsmap = charsmap_read(text, bytes);
    return step->charsmap ? OK : fields_refuse(fields, "\"precompiled_charsmap\" is damaged");
}

/* The end of the grapheme cluster that begins at `at`. */
static const char *cluster_end(const char *at, const char *end) {
    utf8proc_int32_t state = 0;
    uint32_t character = utf8_next(&at);
    while (at < end) {
        const char *next = at;
        const uint32_t following = utf8_next(&next);
        if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)character, (utf8proc_int32_t)following, &state)) break;
        character = following;
        at = next;
    }
    return at;
}

static bool put_replacement(const Charsmap *charsmap, const char *text, int64_t bytes, Pieces *out) {
    int64_t found_bytes;
    const char *found = charsmap_find(charsmap, text, bytes, &found_bytes);
    if (found) pieces_put(out, found, found_bytes);
    return found != NULL;
}

static Status precompiled(const Step *step, StepRoom *room, const char *text, int64_t bytes, Pieces *out,
                          bool *from_start) {
    (void)room;
    const int64_t before = out->bytes;
    bool first = true;
    for (const char *at = text, *end = text + bytes; at < end;) {
        const char *cluster = cluster_end(at, end);
        if (cluster - at < SHORT_CLUSTER && put_replacement(step->charsmap, at, cluster - at, out)) at = cluster;
        while (at < cluster) {
            const char *start = at;
            utf8_next(&at);
            if (!put_replacement(step->charsmap, start, at - start, out)) pieces_put(out, start, at - start);
        }
        if (first && out->bytes == before) *from_start = false;
        first = false;
    }
    return OK;
}

static Status run_precompiled(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    return each_piece(step, room, in, out, precompiled);
}

/* ByteLevel */

static Status byte_level(const Step *step, StepRoom *room, const char *text, int64_t bytes, Pieces *out,
                         bool *from_start) {
    (void)step;
    (void)room;
    (void)from_start;
    byte_letters_put(out, text, bytes);
    return OK;
}

static Status run_byte_level(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    return each_piece(step, room, in, out, byte_level);
}

const StepKind normalizer_kinds[] = {{"NFC", NULL, run_nfc},
                                     {"NFD", NULL, run_nfd},
                                     {"NFKC", NULL, run_nfkc},
                                     {"NFKD", NULL, run_nfkd},
                                     {"Lowercase", NULL, run_lowercase},
                                     {"Strip", read_strip, run_strip},
                                     {"StripAccents", NULL, run_strip_accents},
                                     {"Nmt", NULL, run_nmt},
                                     {"BertNormalizer", read_bert, run_bert},
                                     {"Prepend", read_prepend, run_prepend},
                                     {"Replace", step_read_replace, run_replace},
                                     {"Precompiled", read_precompiled, run_precompiled},
                                     {"ByteLevel", NULL, run_byte_level},
                                     {0}};
