#include "base/block_writer.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/files.h"

static const int64_t BLOCK_BYTES = 4 << 20;
static const int64_t LEAST_ALIGNMENT = 4096; /* for disks; a page at least, so that no page is written in both ways */

int block_writer_open(BlockWriter *writer, int fd) {
    const int64_t page = sysconf(_SC_PAGESIZE), alignment = page > LEAST_ALIGNMENT ? page : LEAST_ALIGNMENT;
    *writer = (BlockWriter){.fd = fd, .direct = true, .alignment = alignment};
    writer->memory = aligned_alloc((size_t)alignment, (size_t)BLOCK_BYTES);
    return writer->memory ? 0 : ENOMEM;
}

void block_writer_close(BlockWriter *writer) { free(writer->memory); }

static int write_cached(const BlockWriter *writer, int64_t first, int64_t end) {
    return file_write(writer->fd, writer->memory + (first - writer->base), end - first, first);
}

/* `first` and `end` are aligned. EINVAL means that the file system, or this write after a part of it, needs the cache.
 * The rest of the file is then written through the cache too. */
static int write_direct(BlockWriter *writer, int64_t first, int64_t end) {
    if (writer->direct && file_set_direct(writer->fd, true) == 0) {
        const int error = write_cached(writer, first, end);
        file_set_direct(writer->fd, false);
        if (error != EINVAL) return error;
    }
    writer->direct = false;
    return write_cached(writer, first, end);
}

int block_writer_flush(BlockWriter *writer) {
    const int64_t first = writer->first, end = writer->end, alignment = writer->alignment;
    const int64_t from = (first + alignment - 1) / alignment * alignment, to = end / alignment * alignment;
    writer->first = end;
    if (from >= to) return write_cached(writer, first, end);
    int error = write_cached(writer, first, from);
    if (!error) error = write_direct(writer, from, to);
    return error ? error : write_cached(writer, to, end);
}

int block_writer_room(BlockWriter *writer, int64_t offset, char **memory, int64_t *room) {
    int error = 0;
    if (offset != writer->end || writer->end - writer->base >= BLOCK_BYTES) {
        error = block_writer_flush(writer);
        writer->base = offset / writer->alignment * writer->alignment;
        writer->first = writer->end = offset;
    }
    *memory = writer->memory + (offset - writer->base);
    *room = writer->base + BLOCK_BYTES - offset;
    return error;
}

void block_writer_advance(BlockWriter *writer, int64_t bytes) { writer->end += bytes; }
