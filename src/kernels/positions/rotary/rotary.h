/* Arguments of the rotary kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_POSITIONS_ROTARY_ROTARY_H
#define FLAME_KERNELS_POSITIONS_ROTARY_ROTARY_H

#include <stdint.h>

enum { ROTARY_HALF = 256, ROTARY_POSITIONS = 8 /* per program of the table */ };

/* table[n] = cos(p * frequency[0 .. half - 1]), then the sines, where p is n or, if that is given, position[n]. */
typedef struct RotaryTableArguments {
    float *table;            /* [entries, 2, half] */
    const int32_t *position; /* [entries], or NULL */
    int64_t entries, half;
    double frequency[ROTARY_HALF];
} RotaryTableArguments;

/* For each head, d < half, and p the row's position: y[d] = x[d] cos - x[d + half] sin,
 * y[d + half] = x[d] sin + x[d + half] cos. direction = -1 rotates back. */
typedef struct RotaryArguments {
    const void *x;
    const float *table;
    const int32_t *entry; /* of the table, for each row; NULL: the row's number */
    void *y;
    int64_t rows, heads, half, rows_per_program, x_stride, y_stride;
    float direction;
} RotaryArguments;

#ifndef FLAME_KERNEL_FILE
#include "core/tape.h"
/* Makes the table of all positions that the batch may have, in the running op's workspace. Where the tape carries these
 * have no bound, and the table has an entry for each row. Sets arguments->table and ->position, and returns what
 * RotaryArguments.entry is then. */
const int32_t *rotary_table(const Node *node, RotaryTableArguments *arguments);
#endif

#endif
