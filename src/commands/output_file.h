/* The output file of a command, which rank 0 writes as a whole at the end. */
#ifndef FLAME_COMMANDS_OUTPUT_FILE_H
#define FLAME_COMMANDS_OUTPUT_FILE_H

#include <stdint.h>

#include "base/check.h"
#include "parallel/comm.h"

/* Checks, before the work begins, that the file can be written. BAD_INPUT (logged) if `path` exists already, IO_ERROR
 * (logged) if no file can be created there. Leaves nothing behind. `option` is the name of the option, without --. path
 * NULL: no file is wanted. Collective. */
Status output_prepare(Comm *comm, const char *option, const char *path);
/* Creates the folders above `path`, writes the file under a temporary name, and renames it. IO_ERROR (logged). */
Status output_write(const char *path, const char *text, int64_t bytes);

#endif
