/* Scans of single columns over time. A program takes a block of columns and a part of a sequence. */
#ifndef FLAME_KERNELS_RECURRENCES_SCAN_PART_H
#define FLAME_KERNELS_RECURRENCES_SCAN_PART_H

#include "tile/rows.h"

#ifdef FLAME_KERNEL_FILE
typedef struct ScanPart {
    int64_t sequence, index, part; /* part = sequence * parts + index */
    int64_t first_col, cols;       /* the program's first column, and how many columns there are from it on */
    int64_t first_chunk, end_chunk;
} ScanPart;

/* Part `index_` of a sequence, and block `block` of COLS columns. `a` points to arguments with the fields parts,
 * part_chunks, chunks and cols. */
#define SCAN_PART(a, block, index_, sequence_)                                                                         \
    {                                                                                                                  \
        .sequence = sequence_, .index = index_, .part = (sequence_) * (a)->parts + (index_),                           \
        .first_col = (block)*COLS, .cols = (a)->cols - (block)*COLS, .first_chunk = (index_) * (a)->part_chunks,       \
        .end_chunk = end_of_program((index_) * (a)->part_chunks, (a)->chunks, (a)->part_chunks)                        \
    }
#else
enum { SCAN_PART_CHUNKS = 4 }; /* chunks of the shortest part that is worth a walk of its own */

/* How a sequence is cut into parts. Cutting costs one more walk over all rows, so it is done only if there are at most
 * half as many programs as wanted. */
typedef struct ScanCut {
    int64_t parts, part_chunks;
} ScanCut;

/* The cut for sequences of `chunks` chunks, if uncut sequences give `walks` programs and `programs` are wanted. */
static inline ScanCut scan_cut(int64_t chunks, int64_t walks, int64_t programs) {
    const int64_t wanted = programs / walks, most = blocks_of(chunks, SCAN_PART_CHUNKS);
    const int64_t parts = wanted < 1 ? 1 : wanted < most ? wanted : most, part_chunks = blocks_of(chunks, parts);
    return (ScanCut){blocks_of(chunks, part_chunks), part_chunks};
}
#endif

#endif
