/* A text cut into pieces: what the steps of a tokenizer take and make. Words before encoding, tokens before decoding.
 */
#ifndef FLAME_TEXT_PIECES_H
#define FLAME_TEXT_PIECES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Piece {
    int64_t start, bytes; /* in the text */
    int64_t token;        /* the added token that it is, which no step changes; -1: none */
    bool from_start;      /* it begins where the original text began */
} Piece;

/* {0} is empty. */
typedef struct Pieces {
    char *text;
    int64_t bytes, room;
    Piece *piece;
    int64_t count, piece_room;
} Pieces;

void pieces_clear(Pieces *pieces);
void pieces_free(Pieces *pieces);

/* Makes room for `bytes` more and returns where they go; the caller adds to pieces->bytes what it has written. */
char *pieces_room(Pieces *pieces, int64_t bytes);
/* Append to the text of the piece that pieces_end will end. */
void pieces_put(Pieces *pieces, const char *text, int64_t bytes);
void pieces_put_character(Pieces *pieces, uint32_t character);
/* The same, with U+FFFD for what is not UTF-8. */
void pieces_put_repaired(Pieces *pieces, const char *text, int64_t bytes);
/* Ends a piece: the text from `start` to the end. */
void pieces_end(Pieces *pieces, int64_t start, int64_t token, bool from_start);
/* Adds a piece whose text is there already, or will be. */
void pieces_place(Pieces *pieces, Piece piece);
/* Adds a copy of a piece of another text. */
void pieces_copy(Pieces *pieces, const Pieces *from, const Piece *piece);
/* Removes the pieces without text. */
void pieces_drop_empty(Pieces *pieces);

#endif
