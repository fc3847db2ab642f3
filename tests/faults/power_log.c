/* A library to preload: appends the program's changes to the folder POWER_FOLDER to the file POWER_LOG. Several
 * processes may write to one log. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include "power.h"

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* The path below POWER_FOLDER, or NULL. */
static const char *inside(const char *path) {
    const char *folder = getenv("POWER_FOLDER");
    const size_t length = folder ? strlen(folder) : 0;
    if (!length || strncmp(path, folder, length) != 0 || (path[length] && path[length] != '/')) return NULL;
    return path[length] ? path + length + 1 : "";
}

static void append(PowerRecord *record, const char *path, const char *other, const void *data) {
    const struct iovec part[2] = {{record, sizeof *record}, {(void *)data, data ? (size_t)record->bytes : 0}};
    const int log = NEXT(open)(getenv("POWER_LOG"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    snprintf(record->path, sizeof record->path, "%s", path ? path : "");
    snprintf(record->other, sizeof record->other, "%s", other ? other : "");
    if (log < 0 || writev(log, part, 2) != (ssize_t)(part[0].iov_len + part[1].iov_len)) abort();
    close(log);
}

static void append_path(PowerOperation operation, const char *path) {
    if (inside(path)) append(&(PowerRecord){.operation = operation}, inside(path), NULL, NULL);
}

static void append_paths(PowerOperation operation, const char *path, const char *other) {
    if (inside(path)) append(&(PowerRecord){.operation = operation}, inside(path), inside(other), NULL);
}

/* Records a change to an open file or folder, under its current name. */
static void append_open(PowerOperation operation, int fd, int64_t offset, int64_t bytes, const void *data) {
    char link[64], path[PATH_MAX] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, path, sizeof path - 1) < 0 || !inside(path)) return;
    append(&(PowerRecord){.operation = operation, .offset = offset, .bytes = bytes}, inside(path), NULL, data);
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = (flags & O_CREAT) ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    const bool new = (flags & O_CREAT) && access(path, F_OK) != 0;
    const int fd = NEXT(open)(path, flags, mode);
    if (fd >= 0 && new) append_path(POWER_CREATE, path);
    return fd;
}

int mkdir(const char *path, mode_t mode) {
    const int result = NEXT(mkdir)(path, mode);
    if (result == 0) append_path(POWER_FOLDER, path);
    return result;
}

int rename(const char *path, const char *other) {
    const int result = NEXT(rename)(path, other);
    if (result == 0) append_paths(POWER_RENAME, path, other);
    return result;
}

int renameat2(int folder, const char *path, int other_folder, const char *other, unsigned flags) {
    const int result = NEXT(renameat2)(folder, path, other_folder, other, flags);
    if (result == 0) append_paths(POWER_EXCHANGE, path, other);
    return result;
}

int unlink(const char *path) {
    const int result = NEXT(unlink)(path);
    if (result == 0) append_path(POWER_REMOVE, path);
    return result;
}

int unlinkat(int folder, const char *name, int flags) {
    char link[64], path[PATH_MAX] = "", all[2 * PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    (void)!readlink(link, path, sizeof path - 1);
    snprintf(all, sizeof all, "%s/%s", path, name);
    const int result = NEXT(unlinkat)(folder, name, flags);
    if (result == 0) append_path(POWER_REMOVE, all);
    return result;
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) {
    const ssize_t result = NEXT(pwrite)(fd, data, bytes, offset);
    if (result > 0) append_open(POWER_WRITE, fd, offset, result, data);
    return result;
}

int ftruncate(int fd, off_t bytes) {
    const int result = NEXT(ftruncate)(fd, bytes);
    if (result == 0) append_open(POWER_RESIZE, fd, bytes, 0, NULL);
    return result;
}

int fallocate(int fd, int mode, off_t offset, off_t bytes) {
    const int result = NEXT(fallocate)(fd, mode, offset, bytes);
    if (result == 0) append_open(POWER_GROW, fd, offset + bytes, 0, NULL);
    return result;
}

/* Recorded after fsync has returned, because only then the data are guaranteed to be on the disk. */
int fsync(int fd) {
    const int result = NEXT(fsync)(fd);
    if (result == 0) append_open(POWER_SYNC, fd, 0, 0, NULL);
    return result;
}

int fdatasync(int fd) {
    const int result = NEXT(fdatasync)(fd);
    if (result == 0) append_open(POWER_SYNC, fd, 0, 0, NULL);
    return result;
}
