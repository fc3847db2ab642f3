/* A text cut into pieces: the input and output of the steps of a tokenizer. When encoding the pieces are words, when
 * decoding they are tokens. */
#ifndef FLAME_TEXT_PIECES_H
#define FLAME_TEXT_PIECES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Piece {
    int64_t start, bytes; /* in the text */
    int64_t token;        /* the id, if it is an added token, which no step changes; otherwise -1 */
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

/* Makes room for `bytes` more bytes and returns where they go. The caller adds the number it has written to
 * pieces->bytes. */
char *pieces_room(Pieces *pieces, int64_t bytes);
/* Append to the text of the piece that pieces_end will end. */
void pieces_put(Pieces *pieces, const char *text, int64_t bytes);
void pieces_put_character(Pieces *pieces, uint32_t character);
/* Like pieces_put, but replaces what is not UTF-8 by U+FFFD. */
void pieces_put_repaired(Pieces *pieces, const char *text, int64_t bytes);
/* Adds the piece that consists of the text from `start` to the end. */
void pieces_end(Pieces *pieces, int64_t start, int64_t token, bool from_start);
/* Adds a piece whose text is in pieces->text already, or will be put there. */
void pieces_place(Pieces *pieces, Piece piece);
/* Adds a copy of a piece of another text. */
void pieces_copy(Pieces *pieces, const Pieces *from, const Piece *piece);
/* Removes the pieces without text. */
void pieces_drop_empty(Pieces *pieces);

#endif
