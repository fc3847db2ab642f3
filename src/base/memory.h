/* Memory whose size depends on the configuration or the data, so that the system may refuse it. */
#ifndef FLAME_BASE_MEMORY_H
#define FLAME_BASE_MEMORY_H

#include <stdint.h>

/* The advice where no key would reduce the memory. */
#define NOTHING_LESS "End other programs on this host, or start fewer ranks on it"

/* Zeroed memory, which the caller gives back with free(). If the system refuses it, calls memory_refused. */
void *memory_take(int64_t bytes, const char *what, const char *advice);
/* Ends the job with BAD_INPUT after one error: `what` needs `bytes`, and `advice` says which keys reduce that. */
_Noreturn void memory_refused(int64_t bytes, const char *what, const char *advice);

#endif
