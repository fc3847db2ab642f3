/* How much memory this process may still take. */
#ifndef FLAME_BASE_FREE_MEMORY_H
#define FLAME_BASE_FREE_MEMORY_H

#include <stdint.h>

/* Free memory of the host, or of one of the control groups that this process is in (containers, batch jobs): whichever
 * is less. Page cache that can be dropped counts as free. INT64_MAX if the system does not say. `root` stands before
 * /proc and /sys: "", or a test's folder. */
int64_t free_memory(const char *root);
/* What ulimit -v leaves of this process's address space; INT64_MAX where it is unlimited. */
int64_t free_address_space(void);

#endif
