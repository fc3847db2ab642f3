#include "text/pieces.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "text/utf8.h"

void pieces_clear(Pieces *pieces) { pieces->bytes = pieces->count = 0; }

void pieces_free(Pieces *pieces) {
    free(pieces->text);
    free(pieces->piece);
    *pieces = (Pieces){0};
}

char *pieces_room(Pieces *pieces, int64_t bytes) {
    if (pieces->bytes + bytes > pieces->room) {
        pieces->room = 2 * (pieces->bytes + bytes) + 64;
        pieces->text = realloc(pieces->text, (size_t)pieces->room);
        CHECK_MEMORY(pieces->text, "no memory for %lld bytes of text", (long long)pieces->room);
    }
    return pieces->text + pieces->bytes;
}

void pieces_put(Pieces *pieces, const char *text, int64_t bytes) {
    if (bytes == 0) return;
    memcpy(pieces_room(pieces, bytes), text, (size_t)bytes);
    pieces->bytes += bytes;
}

void pieces_put_character(Pieces *pieces, uint32_t character) {
    pieces->bytes += utf8_put(character, pieces_room(pieces, 4));
}

void pieces_put_repaired(Pieces *pieces, const char *text, int64_t bytes) {
    for (;;) {
        const int64_t good = utf8_valid(text, bytes);
        pieces_put(pieces, text, good);
        if (good == bytes) return;
        bool valid;
        const int bad = utf8_sequence(text + good, bytes - good, &valid);
        pieces_put(pieces, UTF8_REPLACEMENT, 3);
        text += good + bad;
        bytes -= good + bad;
    }
}

void pieces_place(Pieces *pieces, Piece piece) {
    if (pieces->count == pieces->piece_room) {
        pieces->piece_room = 2 * pieces->piece_room + 64;
        pieces->piece = realloc(pieces->piece, (size_t)pieces->piece_room * sizeof *pieces->piece);
        CHECK_MEMORY(pieces->piece, "no memory for %lld pieces of text", (long long)pieces->piece_room);
    }
    pieces->piece[pieces->count++] = piece;
}

void pieces_end(Pieces *pieces, int64_t start, int64_t token, bool from_start) {
    pieces_place(pieces,
                 (Piece){.start = start, .bytes = pieces->bytes - start, .token = token, .from_start = from_start});
}

void pieces_copy(Pieces *pieces, const Pieces *from, const Piece *piece) {
    const int64_t start = pieces->bytes;
    pieces_put(pieces, from->text + piece->start, piece->bytes);
    pieces_end(pieces, start, piece->token, piece->from_start);
}

void pieces_drop_empty(Pieces *pieces) {
    int64_t kept = 0;
    for (int64_t i = 0; i < pieces->count; i++)
        if (pieces->piece[i].bytes > 0) pieces->piece[kept++] = pieces->piece[i];
    pieces->count = kept;
}
