/* A sequence in chunks of CHUNK_ROWS rows: where the kernels of chunked recurrences find one. */
#ifndef FLAME_KERNELS_CHUNK_H
#define FLAME_KERNELS_CHUNK_H

#include <stdint.h>

enum { CHUNK_ROWS = 64 };

#ifdef FLAME_KERNEL_FILE
typedef struct Chunk {
    int64_t first, rows;  /* the number of its first row in [N]; rows <= CHUNK_ROWS */
    int32_t before, last; /* segment of the token before the chunk (of the first one: its own), and of its last row */
} Chunk;

DEVICE Chunk chunk_at(const int32_t *segment, int64_t T, int64_t sequence, int64_t index) {
    Chunk chunk;
    chunk.first = sequence * T + index * CHUNK_ROWS;
    chunk.rows = T - index * CHUNK_ROWS < CHUNK_ROWS ? T - index * CHUNK_ROWS : CHUNK_ROWS;
    chunk.before = segment[index ? chunk.first - 1 : chunk.first];
    chunk.last = segment[chunk.first + chunk.rows - 1];
    return chunk;
}
#endif

#endif
