/* Where a program of a recurrent cell is; equations in recurrent_cell.h. */
#ifndef FLAME_KERNELS_RECURRENCES_RECURRENT_CELL_RECURRENT_CELL_COLUMN_H
#define FLAME_KERNELS_RECURRENCES_RECURRENT_CELL_RECURRENT_CELL_COLUMN_H

#include "kernels/recurrences/recurrent_cell/recurrent_cell.h"

enum { COLS = RECURRENT_CELL_COLS, SAVED = RECURRENT_CELL_SAVED };

typedef struct CellPlace {
    int64_t sequence, row;
    int64_t first, cols;      /* of the program's columns */
    bool begins;              /* no state comes to this token, */
    bool goes_on;             /* none goes to the next, which is of the same sequence, */
    bool first_row, last_row; /* or of the next one */
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

/* The state before the token, part `part` of `initial`; where `begins`, numbers that are not read. */
DEVICE const float *state_before(const RecurrentCellArguments *a, CellPlace at, int64_t part) {
    if (at.begins) return a->state;
    return at.first_row ? a->initial + at.sequence * a->initial_stride + part * a->D + at.first
                        : a->state + (at.row - 1) * a->D + at.first;
}

/* h of a column: as output, as what the next token reads, and as the sequence's final state. */
DEVICE void put_h(const RecurrentCellArguments *a, CellPlace at, int64_t i, float h, int64_t states) {
    ((element *)a->h)[at.row * a->h_stride + at.first + i] = to_element(h);
    if (!at.last_row) ((element *)a->before)[(at.row + 1) * a->D + at.first + i] = to_element(at.goes_on ? h : 0.0f);
    if (at.last_row && a->final) a->final[at.sequence * states * a->D + at.first + i] = h;
}

/* The gradient of h: from the output, and from the next token or the final state. `carried` is of h (GRU). */
DEVICE float gradient_of_h(const RecurrentCellArguments *a, CellPlace at, int64_t i, bool carried, int64_t states) {
    const int64_t column = at.first + i, in_state = at.sequence * a->D + column;
    const float output = to_float(((const element *)a->dh)[at.row * a->h_stride + column]);
    if (at.last_row) return output + (a->dfinal ? a->dfinal[at.sequence * states * a->D + column] : 0.0f);
    return at.goes_on ? output + a->product[in_state] + (carried ? a->carried[in_state] : 0.0f) : output;
}

#endif
