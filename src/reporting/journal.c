#include "reporting/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/log.h"

/* Syncs the folder, because a new file is lost if its name is not on the disk. Errors are ignored: some file systems
 * cannot sync. */
static void sync_name(const char *path) {
    char *folder = path_parent(path);
    (void)folder_sync(folder);
    free(folder);
}

Status journal_open(Journal *journal, const char *path, int64_t keep) {
    *journal = (Journal){.fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666), .path = strdup(path)};
    CHECK_MEMORY(journal->path, "no memory for a path");
    struct stat about;
    bool good = journal->fd >= 0 && fstat(journal->fd, &about) == 0;
    if (good) {
        journal->end = keep >= 0 && keep < about.st_size ? keep : about.st_size;
        good = journal->end == about.st_size || ftruncate(journal->fd, journal->end) == 0;
    }
    if (good && journal->end == 0) sync_name(path);
    if (good) return OK;
    log_error("%s cannot be written: %s", path, strerror(errno));
    journal_close(journal);
    return IO_ERROR;
}

void journal_append(Journal *journal, const void *record, size_t bytes) {
    size_t written = 0;
    while (written < bytes) {
        const ssize_t n = pwrite(journal->fd, (const char *)record + written, bytes - written,
                                 (off_t)(journal->end + (int64_t)written));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        written += (size_t)n;
    }
    if (written == bytes) {
        journal->end += (int64_t)bytes;
        journal->failing = false;
        return;
    }
    const int reason = errno;
    const bool truncated = ftruncate(journal->fd, journal->end) == 0; /* if not, the next record overwrites the rest */
    if (!journal->failing)
        log_warning("%s: a record is lost (%s)%s; training goes on", journal->path, strerror(reason),
                    truncated ? "" : ", and part of it is still in the file");
    journal->failing = true;
}

void journal_close(Journal *journal) {
    if (journal->fd >= 0) close(journal->fd);
    free(journal->path);
    *journal = (Journal){.fd = -1};
}
