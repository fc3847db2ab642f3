/* Arenas of the emulator, in programs linked with --wrap=arena_push,--wrap=arena_destroy: each
 * allocation is a separate array between inaccessible pages. It is filled with NaN, and unmapped when the arena is
 * rewound past it. */
#include "core/arena.h"
#include "base/check.h"
#include "core/device.h"

enum { ARRAYS = 2048 };

void *__real_arena_push(Arena *arena, int64_t bytes);
void *__wrap_arena_push(Arena *arena, int64_t bytes);
void __real_arena_destroy(Arena *arena);
void __wrap_arena_destroy(Arena *arena);

static struct {
    const Arena *arena;
    int64_t offset, bytes;
    void *data;
} array[ARRAYS];
static int arrays;

/* Releases what the arena gave out from `offset` on. */
static void release_from(const Arena *arena, int64_t offset) {
    int left = 0;
    for (int i = 0; i < arrays; i++) {
        if (array[i].arena == arena && array[i].offset >= offset)
            arena->device->release(array[i].data, array[i].bytes);
        else
            array[left++] = array[i];
    }
    arrays = left;
}

void *__wrap_arena_push(Arena *arena, int64_t bytes) {
    const int64_t offset = arena->used;
    void *inside = __real_arena_push(arena, bytes); /* counts, and checks the capacity */
    if (!arena->base || arena->device != device_emulator()) return inside;
    release_from(arena, offset);
    CHECK(arrays < ARRAYS, "too many arrays");
    void *data = device_memory(arena->device, bytes, arena->name);
    device_poison(arena->device, data, bytes);
    array[arrays].arena = arena;
    array[arrays].offset = offset;
    array[arrays].bytes = bytes;
    array[arrays++].data = data;
    return data;
}

void __wrap_arena_destroy(Arena *arena) {
    release_from(arena, 0);
    __real_arena_destroy(arena);
}
