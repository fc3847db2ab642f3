/* The memory behind a communicator's allocate: one mapping per call, private or shared by the ranks of a host. */
#ifndef FLAME_PARALLEL_COMM_MEMORY_H
#define FLAME_PARALLEL_COMM_MEMORY_H

/* What and advice for memory_refused, about memory from comm->f->allocate. */
#define COMM_MEMORY_WHAT   "a block's parameters or gradients"
#define COMM_MEMORY_ADVICE "Use more ranks on more hosts, or end other programs on this one"

#include <stdint.h>

typedef struct CommMemory {
    unsigned char *base; /* `parts` parts of part_bytes each */
    int parts, mine;
    int64_t part_bytes;
    struct CommMemory *next;
} CommMemory;

/* Rounds up to the alignment that parts need. */
int64_t comm_memory_part(int64_t bytes);
/* An anonymous file (memfd) that other ranks map through /proc; -1 if the system has none. Not /dev/shm, which is often
 * too small in containers. */
int comm_memory_file(int64_t bytes);

/* By what other ranks of this host find such a file, and know that it is this one. */
typedef struct CommMemoryName {
    int64_t process, file;
    uint64_t device, inode;
    int64_t bytes;
} CommMemoryName;

/* The name of an open file; of -1 that of none. */
CommMemoryName comm_memory_name(int file);
/* Opens another rank's file; -1 if there is none, or another one under its numbers: processes may count differently, in
 * containers of their own. */
int comm_memory_open(const CommMemoryName *name);
/* Maps `parts` parts of a file (-1: private memory) and adds the mapping to the list. NULL if that fails. */
CommMemory *comm_memory_map(CommMemory **list, int file, int parts, int mine, int64_t part_bytes);
/* The entry whose own part contains [memory, memory + bytes), or NULL. */
const CommMemory *comm_memory_find(const CommMemory *list, const void *memory, int64_t bytes);
/* Unmaps the entry whose own part starts at `memory`. */
void comm_memory_unmap(CommMemory **list, const void *memory);

static inline unsigned char *comm_memory_own(const CommMemory *entry) {
    return entry->base + entry->mine * entry->part_bytes;
}

#endif
