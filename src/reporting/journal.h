/* An append-only file of records. A record is written completely or not at all, even if the disk is full. */
#ifndef FLAME_REPORTING_JOURNAL_H
#define FLAME_REPORTING_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"

typedef struct Journal {
    int fd;
    int64_t end;  /* offset of the end of the last complete record */
    bool failing; /* the last record was lost; no more warnings until one succeeds */
    char *path;
} Journal;

/* Opens or creates the file and truncates it to `keep` bytes (negative: keeps everything). IO_ERROR after one
 * log_error.
 */
Status journal_open(Journal *journal, const char *path, int64_t keep);
/* Appends a record; does not fsync. If writing fails, for example on a full disk, the record is lost: the file is
 * truncated to complete records, and a warning is logged. */
void journal_append(Journal *journal, const void *record, size_t bytes);
void journal_close(Journal *journal);

#endif
