/* Arguments of the rotary kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_POSITIONS_ROTARY_ROTARY_H
#define FLAME_KERNELS_POSITIONS_ROTARY_ROTARY_H

#include <stdint.h>

enum { ROTARY_HALF = 256, ROTARY_POSITIONS = 8 /* per program of the table */ };

/* table[n] = the cosines of p * frequency[0 .. half - 1], then the sines, where p is position[n], or n if position is
 * NULL. */
typedef struct RotaryTableArguments {
    float *table;            /* [entries, 2, half] */
    const int32_t *position; /* [entries], or NULL */
    int64_t entries, half;
    double frequency[ROTARY_HALF];
} RotaryTableArguments;

/* For each head and d < half, with the sines and cosines of the row's entry of the table: y[d] = x[d] cos - x[d + half]
 * sin, y[d + half] = x[d] sin + x[d + half] cos. direction = -1 rotates back. */
typedef struct RotaryArguments {
    const void *x;
    const float *table;
    const int32_t *entry; /* the entry of the table for each row; NULL: the row's number */
    void *y;
    int64_t rows, heads, half, rows_per_program, x_stride, y_stride;
    float direction;
} RotaryArguments;

#ifndef FLAME_KERNEL_FILE
#include "core/tape.h"
/* Makes the table of all positions that the batch may have, in the running op's workspace. If the tape carries state,
 * positions have no bound, and the table has an entry for each row instead. Sets arguments->table and
 * arguments->position, and returns the value for RotaryArguments.entry. */
const int32_t *rotary_table(const Node *node, RotaryTableArguments *arguments);
#endif

#endif
