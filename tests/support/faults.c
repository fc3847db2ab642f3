/* A library to preload that makes a system call fail, hang or take longer.
 *
 * FAULT_CALL: the call: fsync, mkdir, open, pread, renameat2 or sched_getaffinity.
 *
 * FAULT: "hang" (the call does not return before a file FAULT_UNTIL exists), "slow" (it takes 0.2 s longer), or the
 * number of the error with which it fails.
 *
 * FAULT_BEGUN: a file that is created when the call hangs.
 *
 * Conditions: FAULT_RANK (only on this rank of mpirun), FAULT_PATH (only for files whose path contains this text; not
 * for renameat2), FAULT_AFTER (only once a file of this name exists), FAULT_FROM (only from this offset on; for pread).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool has_path(const char *opened, int fd, const char *wanted) {
    if (opened) return strstr(opened, wanted);
    char name[64], path[4096] = "";
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    return readlink(name, path, sizeof path - 1) >= 0 && strstr(path, wanted);
}

/* Whether the call fails. If so, sets errno. */
static bool fails(const char *call, const char *opened, int fd) {
    const char *wanted = getenv("FAULT_CALL"), *fault = getenv("FAULT"), *rank = getenv("FAULT_RANK");
    const char *path = getenv("FAULT_PATH"), *after = getenv("FAULT_AFTER"), *own = getenv("OMPI_COMM_WORLD_RANK");
    if (!wanted || !fault || strcmp(wanted, call) != 0) return false;
    if (rank && (!own || strcmp(rank, own) != 0)) return false;
    if (path && !has_path(opened, fd, path)) return false;
    if (after && access(after, F_OK) != 0) return false;
    if (strcmp(fault, "hang") == 0) {
        const char *until = getenv("FAULT_UNTIL");
        if (getenv("FAULT_BEGUN")) close(creat(getenv("FAULT_BEGUN"), 0666));
        while (!until || access(until, F_OK) != 0) usleep(10000);
        return false;
    }
    if (strcmp(fault, "slow") == 0) {
        usleep(200000);
        return false;
    }
    if (strcmp(fault, "exit") == 0) _exit(0);
    if (fault[0] == '-') kill(getpid(), atoi(fault + 1));
    errno = atoi(fault);
    return true;
}

static bool is_reached(int64_t offset) {
    const char *from = getenv("FAULT_FROM");
    return !from || offset >= atoll(from);
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = (flags & O_CREAT) ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    if (fails("open", path, -1)) return -1;
    return ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open"))(path, flags, mode);
}

int fsync(int fd) {
    if (fails("fsync", NULL, fd)) return -1;
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int mkdir(const char *path, mode_t mode) {
    if (fails("mkdir", path, -1)) return -1;
    return ((int (*)(const char *, mode_t))dlsym(RTLD_NEXT, "mkdir"))(path, mode);
}

ssize_t pread(int fd, void *to, size_t bytes, off_t offset) {
    if (is_reached(offset) && fails("pread", NULL, fd)) return -1;
    return ((ssize_t(*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread"))(fd, to, bytes, offset);
}

ssize_t pread64(int fd, void *to, size_t bytes, off64_t offset) {
    if (is_reached(offset) && fails("pread", NULL, fd)) return -1;
    return ((ssize_t(*)(int, void *, size_t, off64_t))dlsym(RTLD_NEXT, "pread64"))(fd, to, bytes, offset);
}

/* Fails for masks of the usual size, as on a system that may have more processors. */
int sched_getaffinity(pid_t process, size_t bytes, cpu_set_t *mask) {
    if (bytes <= sizeof *mask && fails("sched_getaffinity", NULL, -1)) return -1;
    return ((int (*)(pid_t, size_t, cpu_set_t *))dlsym(RTLD_NEXT, "sched_getaffinity"))(process, bytes, mask);
}

int renameat2(int old_folder, const char *old, int folder, const char *name, unsigned flags) {
    if (fails("renameat2", NULL, -1)) return -1;
    return ((int (*)(int, const char *, int, const char *, unsigned))dlsym(RTLD_NEXT, "renameat2"))(
        old_folder, old, folder, name, flags);
}
