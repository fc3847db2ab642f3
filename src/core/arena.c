#include "core/arena.h"

#include <stddef.h>

#include "base/check.h"
#include "core/device.h"

/* More bytes than any machine has, but few enough that several such sizes can be added in 64 bits. */
static const int64_t COUNTED_MOST = INT64_C(1) << 57;

Arena arena_counting(const char *name, const Device *device) {
    return (Arena){.name = name, .device = device, .capacity = COUNTED_MOST};
}

Arena arena_create(const char *name, const Device *device, int64_t capacity) {
    Arena arena = {.name = name, .device = device, .capacity = capacity};
    if (capacity > 0) arena.base = device_memory(device, capacity, name);
    return arena;
}

void arena_destroy(Arena *arena) {
    if (arena->base) arena->device->release(arena->base, arena->capacity);
    *arena = (Arena){0};
}

/* Limits a size to the room that is left, so that counting cannot overflow. A size that did not fit in 64 bits is
 * negative. */
static int64_t limit(const Arena *arena, int64_t bytes) {
    const int64_t room = arena->capacity - arena->used;
    return bytes < 0 || bytes > room ? room : bytes;
}

void *arena_push(Arena *arena, int64_t bytes) {
    if (arena->capacity == COUNTED_MOST) bytes = limit(arena, bytes);
    CHECK(bytes >= 0, "arena %s: %lld bytes asked for", arena->name, (long long)bytes);
    const int64_t size = (bytes + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    CHECK(size <= arena->capacity - arena->used, "arena %s is full: %lld bytes used of %lld, %lld more asked for",
          arena->name, (long long)arena->used, (long long)arena->capacity, (long long)size);
    unsigned char *memory =
        arena->base ? arena->base + arena->used : (unsigned char *)(uintptr_t)(arena->used + ARENA_ALIGNMENT);
    arena->used += size;
    if (arena->used > arena->peak) arena->peak = arena->used;
#ifdef FLAME_POISON
    if (arena->base) device_poison(arena->device, memory, size);
#endif
    return memory;
}
