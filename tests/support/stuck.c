/* A library to preload: on rank STUCK_RANK the STUCK_CALL-th call of STUCK (fsync or pread) never returns.
 * Calls count from when the file STUCK_AFTER exists, if that is set. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_long calls;

static void get_stuck(const char *name) {
    const char *wanted = getenv("STUCK"), *rank = getenv("OMPI_COMM_WORLD_RANK"), *after = getenv("STUCK_AFTER");
    if (!wanted || strcmp(wanted, name) != 0 || !rank || strcmp(rank, getenv("STUCK_RANK")) != 0) return;
    if (after && access(after, F_OK) != 0) return;
    if (atomic_fetch_add(&calls, 1) + 1 < atol(getenv("STUCK_CALL"))) return;
    for (;;) pause();
}

int fsync(int fd) {
    get_stuck("fsync");
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

ssize_t pread(int fd, void *to, size_t bytes, off_t offset) {
    get_stuck("pread");
    return ((ssize_t(*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread"))(fd, to, bytes, offset);
}

ssize_t pread64(int fd, void *to, size_t bytes, off64_t offset) {
    get_stuck("pread");
    return ((ssize_t(*)(int, void *, size_t, off64_t))dlsym(RTLD_NEXT, "pread64"))(fd, to, bytes, offset);
}
