#define _GNU_SOURCE
#include "parallel/comm_memory.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"

enum { PART_ALIGNMENT = 64 };

int64_t comm_memory_part(int64_t bytes) {
    return bytes > 0 ? (bytes + PART_ALIGNMENT - 1) / PART_ALIGNMENT * PART_ALIGNMENT : PART_ALIGNMENT;
}

int comm_memory_file(int64_t bytes) {
    const int file = memfd_create("flame-c", MFD_CLOEXEC);
    if (file >= 0 && ftruncate(file, bytes) == 0) return file;
    if (file >= 0) close(file);
    return -1;
}

CommMemoryName comm_memory_name(int file) {
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0) return (CommMemoryName){.file = -1};
    return (CommMemoryName){getpid(), file, status.st_dev, status.st_ino, status.st_size};
}

int comm_memory_open(const CommMemoryName *name) {
    if (name->file < 0) return -1;
    char path[64];
    snprintf(path, sizeof path, "/proc/%lld/fd/%lld", (long long)name->process, (long long)name->file);
    const int file = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    const CommMemoryName opened = comm_memory_name(file);
    if (file < 0 || (opened.device == name->device && opened.inode == name->inode && opened.bytes == name->bytes))
        return file;
    close(file);
    return -1;
}

CommMemory *comm_memory_map(CommMemory **list, int file, int parts, int mine, int64_t part_bytes) {
    const size_t bytes = (size_t)(parts * part_bytes);
    void *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) return NULL;
    madvise(memory, bytes, MADV_HUGEPAGE);
    CommMemory *entry = malloc(sizeof *entry);
    CHECK_MEMORY(entry, "out of memory");
    *entry = (CommMemory){memory, parts, mine, part_bytes, *list};
    return *list = entry;
}

const CommMemory *comm_memory_find(const CommMemory *list, const void *memory, int64_t bytes) {
    for (const CommMemory *entry = list; entry; entry = entry->next) {
        const ptrdiff_t offset = (const unsigned char *)memory - comm_memory_own(entry);
        if (offset >= 0 && offset + bytes <= entry->part_bytes) return entry;
    }
    return NULL;
}

void comm_memory_unmap(CommMemory **list, const void *memory) {
    for (CommMemory **link = list; *link; link = &(*link)->next) {
        CommMemory *entry = *link;
        if (comm_memory_own(entry) != memory) continue;
        munmap(entry->base, (size_t)(entry->parts * entry->part_bytes));
        *link = entry->next;
        free(entry);
        return;
    }
    CHECK(false, "memory given back to a communicator that did not allocate it");
}
