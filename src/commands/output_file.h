/* A file that rank 0 of a command writes whole at its end. */
#ifndef FLAME_COMMANDS_OUTPUT_FILE_H
#define FLAME_COMMANDS_OUTPUT_FILE_H

#include <stdint.h>

#include "base/check.h"
#include "parallel/comm.h"

/* To be called before the work begins. BAD_INPUT (logged) if there is something called `path` already, IO_ERROR
 * (logged) if no file can be made there. Leaves nothing behind. `option`: its name without --. path NULL: no file is
 * wanted. Collective. */
Status output_prepare(Comm *comm, const char *option, const char *path);
/* Makes the folders above `path` and writes the file under another name, which it renames. IO_ERROR (logged). */
Status output_write(const char *path, const char *text, int64_t bytes);

#endif
