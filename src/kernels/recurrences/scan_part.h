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
#else
enum { SCAN_PART_CHUNKS = 4 }; /* of the shortest part that is worth a walk of its own */

/* A part costs a walk more over its rows, so a sequence is only cut where at least half of the programs are missing. */
typedef struct ScanCut {
    int64_t parts, part_chunks;
} ScanCut;

/* For sequences of `chunks` chunks, which uncut are walked by `walks` programs where `programs` are wanted. */
static inline ScanCut scan_cut(int64_t chunks, int64_t walks, int64_t programs) {
    const int64_t wanted = programs / walks, most = blocks_of(chunks, SCAN_PART_CHUNKS);
    const int64_t parts = wanted < 1 ? 1 : wanted < most ? wanted : most, part_chunks = blocks_of(chunks, parts);
    return (ScanCut){blocks_of(chunks, part_chunks), part_chunks};
}
#endif

#endif
