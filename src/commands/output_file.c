#include "commands/output_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/log.h"
#include "training/session.h"

static Status write_failed(const char *path, int error) {
    if (error) log_error("writing %s: %s", path, strerror(error));
    return error ? IO_ERROR : OK;
}

/* `path`, or, if folders above it are missing, the uppermost of these. The caller frees it. */
static char *first_missing(const char *path) {
    char *missing = strdup(path), *above;
    CHECK_MEMORY(missing, "no memory for a path");
    while (above = path_parent(missing), !path_exists(above)) {
        free(missing);
        missing = above;
    }
    free(above);
    return missing;
}

/* Creates a file beside the first file or folder that will be created, and removes it. */
static int try_to_write(const char *path) {
    char *missing = first_missing(path);
    const size_t size = strlen(missing) + 8;
    char *trial = malloc(size);
    CHECK_MEMORY(trial, "no memory for a path");
    snprintf(trial, size, "%s.tmp", missing);
    const int error = file_write_all(trial, "", 0);
    if (!error) file_remove(trial);
    free(trial);
    free(missing);
    return error == EEXIST ? 0 : error;
}

static Status prepare(const char *option, const char *path) {
    if (!path_exists(path)) return write_failed(path, try_to_write(path));
    log_error("--%s %s: exists already; give another name", option, path);
    return BAD_INPUT;
}

Status output_prepare(Comm *comm, const char *option, const char *path) {
    return agree(comm, path && comm->rank == 0 ? prepare(option, path) : OK);
}

Status output_write(const char *path, const char *text, int64_t bytes) {
    int error = folder_create_above(path);
    if (!error) error = file_replace(path, text, bytes);
    return write_failed(path, error);
}
