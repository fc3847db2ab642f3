#define _GNU_SOURCE
#include "parallel/mpi_memory.h"

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"

static char folder[] = "/dev/shm/flame-c-mpi-XXXXXX";
static int lock = -1;   /* descriptor of the locked folder; -1: there is none */
static char **unlinked; /* the names of the files that mpi_memory_unlink removed */
static int64_t unlinked_count;

/* Whether the descriptor refers to the folder that has this name now, and the folder is this user's. */
static bool is_current(int fd, const char *path) {
    struct stat opened, named;
    return fstat(fd, &opened) == 0 && lstat(path, &named) == 0 && opened.st_ino == named.st_ino &&
           opened.st_dev == named.st_dev && opened.st_uid == geteuid();
}

/* Opens and locks a folder of this user; -1 if that fails, or with LOCK_NB if a process has it locked. */
static int locked(const char *path, int flags) {
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | flags) == 0 && is_current(fd, path)) return fd;
    if (fd >= 0) close(fd);
    return -1;
}

static void remove_of_dead(void) {
    glob_t found;
    if (glob("/dev/shm/flame-c-mpi-??????", GLOB_NOSORT, NULL, &found) != 0) return;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const int fd = locked(found.gl_pathv[i], LOCK_NB);
        if (fd < 0) continue;
        folder_remove(found.gl_pathv[i]);
        close(fd);
    }
    globfree(&found);
}

/* Tries again, because another job that starts now may take a folder that is not yet locked for that of a dead rank. */
static bool make_folder(void) {
    for (int attempt = 0; attempt < 100 && lock < 0; attempt++) {
        snprintf(folder, sizeof folder, "/dev/shm/flame-c-mpi-XXXXXX");
        if (!mkdtemp(folder)) return false;
        lock = locked(folder, 0);
    }
    return lock >= 0;
}

void mpi_memory_begin(void) {
    static const char *const keys[] = {"OMPI_MCA_btl_vader_backing_directory",
                                       "OMPI_MCA_btl_sm_backing_directory"}; /* of Open MPI 4 and of Open MPI 5 */
    remove_of_dead();
    if (getenv(keys[0]) || getenv(keys[1]) || !make_folder()) return;
    for (int i = 0; i < 2; i++) setenv(keys[i], folder, 1);
}

static void leave_folder(void) {
    folder_remove(folder);
    close(lock);
    lock = -1;
}

void mpi_memory_unlink(void) {
    if (lock < 0 || folder_list(folder, &unlinked, &unlinked_count) != 0) return;
    leave_folder();
}

void mpi_memory_restore(void) {
    if (!unlinked || folder_create(folder) != 0) return;
    lock = locked(folder, 0);
    for (int64_t i = 0; i < unlinked_count; i++) {
        char *path = path_join(folder, unlinked[i]);
        int file;
        if (file_create(path, &file) == 0) file_close(file);
        free(path);
    }
}

void mpi_memory_end(void) {
    if (lock >= 0) leave_folder();
    if (unlinked) folder_list_free(unlinked, unlinked_count);
    unlinked = NULL;
}
