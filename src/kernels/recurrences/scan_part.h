/* Scans over time of single columns, a program for each block of columns and part of a sequence. */
#ifndef FLAME_KERNELS_RECURRENCES_SCAN_PART_H
#define FLAME_KERNELS_RECURRENCES_SCAN_PART_H

#include "tile/rows.h"

#ifdef FLAME_KERNEL_FILE
typedef struct ScanPart {
    int64_t sequence, index, part; /* part = sequence * parts + index */
    int64_t first_col, cols;       /* of the program's columns, the first, and how many there are from it on */
    int64_t first_chunk, end_chunk;
} ScanPart;

/* Part `index` of a sequence, and block `block` of COLS columns. `a` points to arguments that have parts, part_chunks,
 * chunks and cols. */
#define SCAN_PART(a, block, index_, sequence_)                                                                         \
    {                                                                                                                  \
        .sequence = sequence_, .index = index_, .part = (sequence_) * (a)->parts + (index_),                           \
        .first_col = (block)*COLS, .cols = (a)->cols - (block)*COLS, .first_chunk = (index_) * (a)->part_chunks,       \
        .end_chunk = end_of_program((index_) * (a)->part_chunks, (a)->chunks, (a)->part_chunks)                        \
    }
#endif

#endif
