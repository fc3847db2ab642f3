/* Memory whose size follows from the configuration or the data, and which the system may refuse. */
#ifndef FLAME_BASE_MEMORY_H
#define FLAME_BASE_MEMORY_H

#include <stdint.h>

/* Advice where no key needs less. */
#define NOTHING_LESS "End other programs on this host, or start fewer ranks on it"

/* Zeroed memory, for free. If the system refuses it, as memory_refused. */
void *memory_take(int64_t bytes, const char *what, const char *advice);
/* Ends the job with BAD_INPUT, after an error: `what` needs `bytes`; `advice` says which keys need less. */
_Noreturn void memory_refused(int64_t bytes, const char *what, const char *advice);

#endif
