/* Writes long ranges of a file in blocks, past the page cache where the file system can (O_DIRECT): nothing reads them
 * soon, so caching them would only take memory and slow the disk down. Ranges may begin and end at any byte. Functions
 * return 0 or an errno, like those of files.h. */
#ifndef FLAME_BASE_BLOCK_WRITER_H
#define FLAME_BASE_BLOCK_WRITER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct BlockWriter {
    int fd;
    bool direct;              /* write past the page cache; false once the file system has refused it */
    char *memory;             /* bytes `base` .. base + BLOCK_BYTES - 1 of the file */
    int64_t alignment;        /* of the memory, offset and length of direct writes */
    int64_t base, first, end; /* bytes first .. end - 1 of the file are in memory and wait to be written */
} BlockWriter;

/* A writer to `fd`, which must stay open as long as the writer is. ENOMEM if there is no memory for a block. */
int block_writer_open(BlockWriter *writer, int fd);
void block_writer_close(BlockWriter *writer);
/* Sets *memory to where the caller puts the file's bytes from `offset` on, and *room to how many fit there, at least 1.
 * The memory is valid until the next call; block_writer_advance then says how many bytes the caller has put there.
 * First writes what waits, if the memory is full or if `offset` is not where the waiting bytes end. */
int block_writer_room(BlockWriter *writer, int64_t offset, char **memory, int64_t *room);
/* The caller has put `bytes` bytes into the room. They now wait to be written. */
void block_writer_advance(BlockWriter *writer, int64_t bytes);
/* Writes all bytes that wait. They are durable after file_sync. */
int block_writer_flush(BlockWriter *writer);

#endif
