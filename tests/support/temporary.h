/* A folder for the files of one test program, removed at its end. */
#ifndef FLAME_TESTS_SUPPORT_TEMPORARY_H
#define FLAME_TESTS_SUPPORT_TEMPORARY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/files.h"

static char temporary_folder[256];

/* For cmocka_run_group_tests. */
static int temporary_create(void **state) {
    (void)state;
    const char *root = getenv("TMPDIR");
    /* In memory if possible, because tests sync thousands of files. */
    if (!root || !root[0]) root = folder_exists("/dev/shm") ? "/dev/shm" : "/tmp";
    snprintf(temporary_folder, sizeof temporary_folder, "%s/flame-c-test-XXXXXX", root);
    return mkdtemp(temporary_folder) ? 0 : -1;
}

static int temporary_remove(void **state) {
    (void)state;
    return folder_remove(temporary_folder);
}

/* A path in the temporary folder, in new memory. */
static inline char *temporary_path(const char *name) { return path_join(temporary_folder, name); }

/* Replaces a file's content. */
static inline void write_file(const char *path, const void *data, int64_t bytes) {
    remove(path);
    const int error = file_write_all(path, data, bytes);
    CHECK(error == 0, "writing %s: %s", path, strerror(error));
}

#endif
