/* A file that only grows, record by record: a record is in it whole or not at all, whatever the disk does. */
#ifndef FLAME_REPORTING_JOURNAL_H
#define FLAME_REPORTING_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"

typedef struct Journal {
    int fd;
    int64_t end;  /* of the last whole record */
    bool failing; /* the last record was lost; warned once until one succeeds */
    char *path;
} Journal;

/* Opens or creates the file and drops what is behind `keep` bytes (negative: keeps everything). IO_ERROR after one
 * log_error. */
Status journal_open(Journal *journal, const char *path, int64_t keep);
/* Hands the record to the operating system. If that fails (a full disk) the file is cut back to whole records, and a
 * warning says so. */
void journal_append(Journal *journal, const void *record, size_t bytes);
void journal_close(Journal *journal);

#endif
