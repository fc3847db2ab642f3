/* Writes long ranges of a file in blocks, past the page cache where the file system can (O_DIRECT): nothing reads them
 * soon, and the cache would only take memory and slow the disk down. Ranges begin and end at any byte. Functions return
 * 0 or an errno, like those of files.h. */
#ifndef FLAME_BASE_BLOCK_WRITER_H
#define FLAME_BASE_BLOCK_WRITER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct BlockWriter {
    int fd;
    bool direct;              /* the file system can */
    char *memory;             /* bytes `base` .. base + BLOCK_BYTES - 1 of the file */
    int64_t alignment;        /* of direct writes: memory, offset and length */
    int64_t base, first, end; /* first .. end - 1 wait to be written */
} BlockWriter;

/* Writes to `fd`, which must be open as long as the writer. ENOMEM if there is no memory for a block. */
int block_writer_open(BlockWriter *writer, int fd);
void block_writer_close(BlockWriter *writer);
/* Memory for the file's bytes from `offset` on, *room of them, at least 1. It ends with the next call: what has been
 * put there is told to block_writer_advance. Writes what waits if the memory is full, or if `offset` is not where that
 * ends. */
int block_writer_room(BlockWriter *writer, int64_t offset, char **memory, int64_t *room);
/* The first `bytes` bytes of the room are there and wait to be written. */
void block_writer_advance(BlockWriter *writer, int64_t bytes);
/* Writes what waits. It is durable after file_sync. */
int block_writer_flush(BlockWriter *writer);

#endif
