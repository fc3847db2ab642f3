/* Memory for emulated kernels: each array is next to an inaccessible guard page, so that an access outside of it
 * faults. */
#ifndef FLAME_TILE_EMULATOR_MEMORY_H
#define FLAME_TILE_EMULATOR_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

/* A zeroed array with its own pages, aligned to 16 bytes; NULL if out of memory. The rest of its last page is NaN. */
void *emulator_allocate(int64_t bytes);
void emulator_release(void *memory);
/* Chooses whether arrays allocated from now on start right after a guard page (true) or end right before one (false;
 * then up to 15 bytes before it, because arrays are aligned to 16 bytes). */
void emulator_guard_starts(bool starts);

/* Called when a kernel starts: from now on an access outside of all arrays is reported with the kernel's name. */
void emulator_memory_lend(const char *kernel);
/* Called when the kernel has ended. Ends the job if the kernel wrote between the end of an array and its guard page. */
void emulator_memory_take_back(void);

#endif
