/* The emulator's memory: next to each array lies a page that nobody may touch, as nothing may lie there on a GPU. */
#ifndef FLAME_TILE_EMULATOR_MEMORY_H
#define FLAME_TILE_EMULATOR_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

/* An array of its own, zeroed, at a multiple of 16 bytes; NULL if there is no memory. What is left of its pages holds
 * NaN. */
void *emulator_allocate(int64_t bytes);
void emulator_release(void *memory);
/* Whether the arrays to come begin right after an untouchable page, rather than end right before one (but for what
 * their size lacks to a multiple of 16 bytes). */
void emulator_guard_starts(bool starts);

/* From here on `kernel` uses the memory: the message of a touch outside of all arrays names it. */
void emulator_memory_lend(const char *kernel);
/* It has ended; ends the job if it wrote into what is left of an array's pages. */
void emulator_memory_take_back(void);

#endif
