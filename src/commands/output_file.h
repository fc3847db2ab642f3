/* A file that a command writes whole at its end. */
#ifndef FLAME_COMMANDS_OUTPUT_FILE_H
#define FLAME_COMMANDS_OUTPUT_FILE_H

#include <stdint.h>

#include "base/check.h"

/* To be called before the work begins: BAD_INPUT (logged) if there is something called `path` already. `option`: its
 * name without --. path NULL: no file is wanted. */
Status output_is_free(const char *option, const char *path);
/* Makes the folders above `path` and writes the file under another name, which it renames. IO_ERROR (logged). */
Status output_write(const char *path, const char *text, int64_t bytes);

#endif
