#include "text/decoders.h"

#include <string.h>

#include "text/byte_letters.h"
#include "text/utf8.h"

/* ByteLevel: a token that contains a letter which stands for no byte is taken as text. */

static bool put_bytes_of_letters(Pieces *out, const char *text, int64_t bytes) {
    char *to = pieces_room(out, bytes);
    for (const char *at = text, *end = text + bytes; at < end;) {
        const int byte = byte_of_letter(utf8_next(&at));
        if (byte < 0) return false;
        *to++ = (char)byte;
        out->bytes++;
    }
    return true;
}

static Status run_byte_level(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    (void)step;
    Pieces *bytes = &room->text;
    pieces_clear(bytes);
    for (int64_t i = 0; i < in->count; i++) {
        const int64_t before = bytes->bytes;
        const char *token = in->text + in->piece[i].start;
        if (put_bytes_of_letters(bytes, token, in->piece[i].bytes)) continue;
        bytes->bytes = before;
        pieces_put(bytes, token, in->piece[i].bytes);
    }
    pieces_put_repaired(out, bytes->text, bytes->bytes);
    pieces_end(out, 0, -1, true);
    return OK;
}

/* Metaspace */

enum { NEVER, ALWAYS }; /* "first" means the same here as "always" */

static Status read_metaspace(Step *step, const Fields *fields) {
    static const char *const names[] = {"never", "always", "first", NULL};
    bool prefix_space = true;
    step->choice = ALWAYS;
    Status status = fields_character(fields, "replacement", REQUIRED, &step->character);
    if (!status) status = fields_choice(fields, "prepend_scheme", OPTIONAL, names, &step->choice);
    if (!status) status = fields_flag(fields, "add_prefix_space", OPTIONAL, &prefix_space);
    if (status || prefix_space || step->choice == NEVER) return status;
    return fields_refuse(fields, "\"add_prefix_space\" and \"prepend_scheme\" contradict each other");
}

static Status run_metaspace(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    (void)room;
    for (int64_t i = 0; i < in->count; i++) {
        const int64_t start = out->bytes;
        const char *at = in->text + in->piece[i].start, *end = at + in->piece[i].bytes;
        while (at < end) {
            const uint32_t character = utf8_next(&at);
            if (character != step->character)
                pieces_put_character(out, character);
            else if (i > 0 || step->choice == NEVER)
                pieces_put(out, " ", 1);
        }
        pieces_end(out, start, -1, false);
    }
    return OK;
}

/* WordPiece */

enum { CLEANUP };

static Status read_word_piece(Step *step, const Fields *fields) {
    const Status status = step_read_text(step, fields, "prefix");
    return status ? status : fields_flag(fields, "cleanup", REQUIRED, &step->flag[CLEANUP]);
}

static void put_replaced(Pieces *out, const Pieces *text, const char *from, const char *to) {
    const int64_t length = (int64_t)strlen(from);
    for (int64_t i = 0; i < text->bytes;) {
        const bool here = i + length <= text->bytes && memcmp(text->text + i, from, (size_t)length) == 0;
        if (here)
            pieces_put(out, to, (int64_t)strlen(to));
        else
            pieces_put(out, text->text + i, 1);
        i += here ? length : 1;
    }
}

/* English punctuation and contractions lose the space before them. */
static void clean_up(StepRoom *room) {
    static const char *const pairs[][2] = {{" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
                                           {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
                                           {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    if (room->text.bytes == 0 || !memchr(room->text.text, ' ', (size_t)room->text.bytes)) return;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        pieces_clear(&room->other);
        put_replaced(&room->other, &room->text, pairs[i][0], pairs[i][1]);
        const Pieces text = room->text;
        room->text = room->other;
        room->other = text;
    }
}

static Status run_word_piece(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    for (int64_t i = 0; i < in->count; i++) {
        const char *token = in->text + in->piece[i].start;
        int64_t bytes = in->piece[i].bytes;
        const bool goes_on =
            i > 0 && bytes >= step->text_bytes && memcmp(token, step->text, (size_t)step->text_bytes) == 0;
        pieces_clear(&room->text);
        if (i > 0 && !goes_on) pieces_put(&room->text, " ", 1);
        if (goes_on) token += step->text_bytes;
        if (goes_on) bytes -= step->text_bytes;
        pieces_put(&room->text, token, bytes);
        if (step->flag[CLEANUP]) clean_up(room);
        const int64_t start = out->bytes;
        pieces_put(out, room->text.text, room->text.bytes);
        pieces_end(out, start, -1, false);
    }
    return OK;
}

/* ByteFallback: <0xE2> is a byte. */

static int hexadecimal(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    const char letter = (char)(digit | 0x20);
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* Rust reads "+f" as a number too. */
static int byte_of_token(const char *token, int64_t bytes) {
    if (bytes != 6 || memcmp(token, "<0x", 3) != 0 || token[5] != '>') return -1;
    const int high = token[3] == '+' ? 0 : hexadecimal(token[3]), low = hexadecimal(token[4]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* The bytes of a run of byte tokens become one text if they are valid UTF-8, and otherwise one U+FFFD each. */
static void end_bytes(Pieces *bytes, Pieces *out) {
    if (bytes->bytes == 0) return;
    const bool valid = utf8_valid(bytes->text, bytes->bytes) == bytes->bytes;
    const int64_t start = out->bytes;
    if (valid) pieces_put(out, bytes->text, bytes->bytes);
    if (valid) pieces_end(out, start, -1, false);
    for (int64_t i = 0; i < bytes->bytes && !valid; i++) {
        pieces_put(out, UTF8_REPLACEMENT, 3);
        pieces_end(out, out->bytes - 3, -1, false);
    }
    pieces_clear(bytes);
}

static Status run_byte_fallback(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    (void)step;
    pieces_clear(&room->text);
    for (int64_t i = 0; i < in->count; i++) {
        const int byte = byte_of_token(in->text + in->piece[i].start, in->piece[i].bytes);
        if (byte >= 0) {
            pieces_put(&room->text, &(char){(char)byte}, 1);
            continue;
        }
        end_bytes(&room->text, out);
        pieces_copy(out, in, &in->piece[i]);
    }
    end_bytes(&room->text, out);
    return OK;
}

/* Fuse */

static Status run_fuse(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    (void)step;
    (void)room;
    for (int64_t i = 0; i < in->count; i++) pieces_put(out, in->text + in->piece[i].start, in->piece[i].bytes);
    pieces_end(out, 0, -1, false);
    return OK;
}

/* Strip: a token loses the character `content` up to `start` times at its beginning and up to `stop` times at its
 * end. */

static Status read_strip(Step *step, const Fields *fields) {
    Status status = fields_character(fields, "content", REQUIRED, &step->character);
    if (!status) status = fields_count(fields, "start", REQUIRED, INT32_MAX, &step->start);
    return status ? status : fields_count(fields, "stop", REQUIRED, INT32_MAX, &step->stop);
}

static Status run_strip(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    (void)room;
    for (int64_t i = 0; i < in->count; i++) {
        const char *start = in->text + in->piece[i].start, *end = start + in->piece[i].bytes;
        for (int64_t j = 0; j < step->start && start < end; j++) {
            const char *next = start;
            if (utf8_next(&next) != step->character) break;
            start = next;
        }
        for (int64_t j = 0; j < step->stop && start < end; j++) {
            const char *last = end - utf8_last(start, end - start), *at = last;
            if (utf8_next(&at) != step->character) break;
            end = last;
        }
        const int64_t begin = out->bytes;
        pieces_put(out, start, end - start);
        pieces_end(out, begin, -1, false);
    }
    return OK;
}

/* Replace */

static Status run_replace(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    for (int64_t i = 0; i < in->count; i++) {
        const char *token = in->text + in->piece[i].start;
        const int64_t start = out->bytes;
        const Status status = matches_of_pattern(&room->matches, token, in->piece[i].bytes, step->pattern);
        if (status) return status;
        for (int64_t j = 0; j < room->matches.count; j++)
            step_put_replaced(step, token, &room->matches.stretch[j], out);
        pieces_end(out, start, -1, false);
    }
    return OK;
}

/* BPEDecoder: the mark at the end of words becomes a space, but nothing in the last token. */

static Status read_suffix(Step *step, const Fields *fields) {
    const Status status = step_read_text(step, fields, "suffix");
    return !status && step->text_bytes == 0 ? fields_refuse(fields, "\"suffix\" is empty") : status;
}

static Status run_suffix(const Step *step, StepRoom *room, Pieces *in, Pieces *out) {
    (void)room;
    for (int64_t i = 0; i < in->count; i++) {
        const char *at = in->text + in->piece[i].start, *end = at + in->piece[i].bytes;
        const int64_t start = out->bytes;
        while (at < end) {
            const bool here = end - at >= step->text_bytes && memcmp(at, step->text, (size_t)step->text_bytes) == 0;
            if (!here) pieces_put(out, at, 1);
            if (here && i + 1 < in->count) pieces_put(out, " ", 1);
            at += here ? step->text_bytes : 1;
        }
        pieces_end(out, start, -1, false);
    }
    return OK;
}

const StepKind decoder_kinds[] = {{"ByteLevel", NULL, run_byte_level},
                                  {"Metaspace", read_metaspace, run_metaspace},
                                  {"WordPiece", read_word_piece, run_word_piece},
                                  {"ByteFallback", NULL, run_byte_fallback},
                                  {"Fuse", NULL, run_fuse},
                                  {"Strip", read_strip, run_strip},
                                  {"Replace", step_read_replace, run_replace},
                                  {"BPEDecoder", read_suffix, run_suffix},
                                  {0}};
