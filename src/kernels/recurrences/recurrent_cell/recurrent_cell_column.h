/* Which token and columns a program of a recurrent cell has; equations in recurrent_cell.h. */
#ifndef FLAME_KERNELS_RECURRENCES_RECURRENT_CELL_RECURRENT_CELL_COLUMN_H
#define FLAME_KERNELS_RECURRENCES_RECURRENT_CELL_RECURRENT_CELL_COLUMN_H

#include "kernels/recurrences/recurrent_cell/recurrent_cell.h"

enum { COLS = RECURRENT_CELL_COLS, SAVED = RECURRENT_CELL_SAVED };

typedef struct CellPlace {
    int64_t sequence, row;
    int64_t first, cols;      /* the program's first column, and how many columns there are from it on */
    bool begins;              /* the token begins without a state */
    bool goes_on;             /* the next token of the sequence goes on with this one's state */
    bool first_row, last_row; /* the token is the first, the last of its sequence */
} CellPlace;

DEVICE CellPlace cell_place(const RecurrentCellArguments *a, int64_t block, int64_t sequence) {
    const int64_t row = sequence * a->T + a->t, left = a->D - block * COLS;
    const bool first = a->t == 0, last = a->t + 1 == a->T;
    const CellPlace place = {.sequence = sequence,
                             .row = row,
                             .first = block * COLS,
                             .cols = left < COLS ? left : COLS,
                             .begins = first ? !a->initial : a->segment[row] != a->segment[row - 1],
                             .goes_on = !last && a->segment[row + 1] == a->segment[row],
                             .first_row = first,
                             .last_row = last};
    return place;
}

/* The state before the token; for the first token, part `part` of `initial`. If `begins`, some address whose numbers
 * nobody uses. */
DEVICE const float *state_before(const RecurrentCellArguments *a, CellPlace at, int64_t part) {
    if (at.begins) return a->state;
    return at.first_row ? a->initial + at.sequence * a->initial_stride + part * a->D + at.first
                        : a->state + (at.row - 1) * a->D + at.first;
}

/* Stores h of a column: as the output, for the next token's product, and as the sequence's final state. */
DEVICE void put_h(const RecurrentCellArguments *a, CellPlace at, int64_t i, float h, int64_t states) {
    ((element *)a->h)[at.row * a->h_stride + at.first + i] = to_element(h);
    if (!at.last_row) ((element *)a->before)[(at.row + 1) * a->D + at.first + i] = to_element(at.goes_on ? h : 0.0f);
    if (at.last_row && a->final) a->final[at.sequence * states * a->D + at.first + i] = h;
}

/* The gradient of h, from the output and from the next token or the final state. With `carried` (GRU), a.carried is a
 * part of it. */
DEVICE float gradient_of_h(const RecurrentCellArguments *a, CellPlace at, int64_t i, bool carried, int64_t states) {
    const int64_t column = at.first + i, in_state = at.sequence * a->D + column;
    const float output = to_float(((const element *)a->dh)[at.row * a->h_stride + column]);
    if (at.last_row) return output + (a->dfinal ? a->dfinal[at.sequence * states * a->D + column] : 0.0f);
    return at.goes_on ? output + a->product[in_state] + (carried ? a->carried[in_state] : 0.0f) : output;
}

#endif
