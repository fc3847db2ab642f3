/* What a start does with the metrics.jsonl that an earlier one has left. */
#ifndef FLAME_REPORTING_EARLIER_LINES_H
#define FLAME_REPORTING_EARLIER_LINES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"

/* For a new run: renames the file to the first free name of .old, .old-2, ... IO_ERROR (logged). */
Status earlier_lines_put_aside(const char *path);

/* The lines that a run resumed from `step` keeps. */
typedef struct EarlierLines {
    int64_t bytes;
    bool validation, previews; /* whether the validation loss and the texts of `step` itself are among them */
} EarlierLines;

/* For a run resumed from `step`: appends the lines of later steps, which will be trained again, to metrics.void.jsonl
 * beside the file, which the caller then truncates to kept->bytes. A file of another run, by the name in its first line
 * ("": it has none), is put aside instead. IO_ERROR (logged) if it cannot be read or its lines cannot be moved; it is
 * unchanged then. */
Status earlier_lines_keep(const char *path, const char *run, int64_t step, EarlierLines *kept);

#endif
