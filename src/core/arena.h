/* A bump allocator over one allocation. Tensors are never freed one by one: the arena is rewound.
 *
 * An arena without memory (base NULL) only counts: its addresses must not be dereferenced. The memory plan is made by
 * running the real program with such arenas on the counting device before anything is allocated. */
#ifndef FLAME_CORE_ARENA_H
#define FLAME_CORE_ARENA_H

#include <stdint.h>

struct Device;

enum { ARENA_ALIGNMENT = 64 };

typedef struct Arena {
    const char *name;
    const struct Device *device; /* owns the memory */
    unsigned char *base;         /* NULL: counts only */
    int64_t used, capacity, peak;
} Arena;

/* A counting arena of unlimited size; afterwards `peak` is what the program needed. */
Arena arena_counting(const char *name, const struct Device *device);
/* An arena of `capacity` bytes of the device's memory. Ends the job if there is not enough. */
Arena arena_create(const char *name, const struct Device *device, int64_t capacity);
void arena_destroy(Arena *arena);

/* `bytes` of 64-byte aligned memory, valid until the arena is rewound past it. In builds with FLAME_POISON it is filled
 * with NaN, so that a read of memory that was never written shows. */
void *arena_push(Arena *arena, int64_t bytes);

static inline int64_t arena_mark(const Arena *arena) { return arena->used; }
static inline void arena_rewind(Arena *arena, int64_t mark) { arena->used = mark; }

#endif
