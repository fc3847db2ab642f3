#define _GNU_SOURCE
#include "base/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/activity.h"
#include "base/check.h"

/* How often an interrupted call is repeated. Only a broken file system returns EINTR more often. */
enum { RETRIES = 100 };
/* The most bytes of one system call. Linux itself stops at 2 GiB. */
static const int64_t LARGEST_TRANSFER = 16 << 20;

static FileHook test_hook = NULL;

void files_set_hook(FileHook hook) { test_hook = hook; }

static int hooked(FileOperation operation, const char *path, int fd, int64_t *bytes) {
    int64_t none = 0;
    return test_hook ? test_hook(operation, path, fd, bytes ? bytes : &none) : 0;
}

/* This works because open returns the lowest free number. */
void files_reserve_standard(void) {
    int fd;
    do fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) close(fd);
}

static int open_with(const char *path, int flags, int *fd) {
    for (int i = 0; i < RETRIES; i++) {
        const int error = hooked(FILE_OPEN, path, -1, NULL);
        if (error == EINTR) continue;
        if (error) return error;
        *fd = open(path, flags | O_CLOEXEC, 0666);
        if (*fd >= 0) return 0;
        if (errno != EINTR) return errno;
    }
    return EINTR;
}

int file_open_read(const char *path, int *fd, int64_t *bytes) {
    int error = open_with(path, O_RDONLY | O_NONBLOCK, fd);
    if (error) return error;
    struct stat status;
    error = fstat(*fd, &status) != 0 ? errno : S_ISDIR(status.st_mode) ? EISDIR : !S_ISREG(status.st_mode) ? EINVAL : 0;
    if (error) {
        close(*fd);
        return error;
    }
    if (bytes) *bytes = status.st_size;
    return 0;
}

bool file_is_missing(int error) {
    return error == ENOENT || error == ENOTDIR || error == EISDIR || error == EINVAL || error == ELOOP ||
           error == ENAMETOOLONG;
}

const char *file_read_reason(int error) { return error == EINVAL ? "is not a regular file" : strerror(error); }

int file_create(const char *path, int *fd) { return open_with(path, O_WRONLY | O_CREAT | O_EXCL, fd); }

int file_open_write(const char *path, int *fd) { return open_with(path, O_WRONLY, fd); }

int file_close(int fd) {
    const int error = hooked(FILE_CLOSE, NULL, fd, NULL);
    if (close(fd) != 0 && errno != EINTR) return errno;
    return error == EINTR ? 0 : error;
}

int file_read(int fd, void *to, int64_t bytes, int64_t offset) {
    int retries = 0;
    while (bytes > 0) {
        int64_t part = bytes < LARGEST_TRANSFER ? bytes : LARGEST_TRANSFER;
        const int error = hooked(FILE_READ, NULL, fd, &part);
        const ssize_t done = error ? -1 : pread(fd, to, (size_t)part, offset);
        if (done < 0) {
            if ((error ? error : errno) != EINTR || ++retries == RETRIES) return error ? error : errno;
            continue;
        }
        if (done == 0) return ENODATA;
        activity_advance();
        to = (char *)to + done;
        offset += done;
        bytes -= done;
    }
    return 0;
}

int file_write(int fd, const void *from, int64_t bytes, int64_t offset) {
    int retries = 0;
    while (bytes > 0) {
        int64_t part = bytes < LARGEST_TRANSFER ? bytes : LARGEST_TRANSFER;
        const int error = hooked(FILE_WRITE, NULL, fd, &part);
        const ssize_t done = error ? -1 : pwrite(fd, from, (size_t)part, offset);
        if (done <= 0) {
            const int reason = error ? error : done == 0 ? EIO : errno;
            if (reason != EINTR || ++retries == RETRIES) return reason;
            continue;
        }
        activity_advance();
        from = (const char *)from + done;
        offset += done;
        bytes -= done;
    }
    return 0;
}

int file_allocate(int fd, int64_t bytes) {
    for (int i = 0; i < RETRIES; i++) {
        int error = hooked(FILE_ALLOCATE, NULL, fd, NULL);
        if (!error && bytes > 0 && fallocate(fd, 0, 0, bytes) != 0) error = errno;
        if (error == EOPNOTSUPP || error == ENOSYS || error == EINVAL) error = ftruncate(fd, bytes) != 0 ? errno : 0;
        if (error != EINTR) return error;
    }
    return EINTR;
}

int file_sync(int fd) {
    for (int i = 0; i < RETRIES; i++) {
        int error = hooked(FILE_SYNC, NULL, fd, NULL);
        if (!error && fsync(fd) != 0) error = errno;
        activity_advance();
        if (error != EINTR) return error;
    }
    return EINTR;
}

int file_set_direct(int fd, bool direct) {
    const int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return errno;
    return fcntl(fd, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0 ? 0 : errno;
}

int file_read_all(const char *path, int64_t limit, char **text, int64_t *bytes) {
    int fd;
    int error = file_open_read(path, &fd, bytes);
    if (error) return error;
    *text = NULL;
    if (*bytes > limit) error = EFBIG;
    if (!error && !(*text = malloc((size_t)*bytes + 1))) error = ENOMEM;
    if (!error) error = file_read(fd, *text, *bytes, 0);
    close(fd);
    if (error) {
        free(*text);
        *text = NULL;
        return error;
    }
    (*text)[*bytes] = 0;
    return 0;
}

int file_write_all(const char *path, const void *data, int64_t bytes) {
    int fd;
    int error = file_create(path, &fd);
    if (error) return error;
    error = file_write(fd, data, bytes, 0);
    if (!error) error = file_sync(fd);
    const int close_error = file_close(fd);
    if (!error) error = close_error;
    if (error) unlink(path);
    return error;
}

int file_replace(const char *path, const void *data, int64_t bytes) {
    const size_t size = strlen(path) + 16;
    char *temporary = malloc(size);
    CHECK_MEMORY(temporary, "no memory for a path");
    snprintf(temporary, size, "%s.flame-c.tmp", path);
    unlink(temporary);
    int error = file_write_all(temporary, data, bytes);
    if (!error) {
        error = file_rename(temporary, path);
        if (error) unlink(temporary);
    }
    free(temporary);
    return error;
}

int file_rename(const char *from, const char *to) {
    const int error = hooked(FILE_RENAME, from, -1, NULL);
    if (error) return error;
    return rename(from, to) != 0 ? errno : 0;
}

int file_exchange(const char *a, const char *b) {
    const int error = hooked(FILE_EXCHANGE, a, -1, NULL);
    if (error) return error;
    return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) != 0 ? errno : 0;
}

int file_remove(const char *path) {
    const int error = hooked(FILE_REMOVE, path, -1, NULL);
    if (error) return error;
    return unlink(path) != 0 ? errno : 0;
}

bool path_exists(const char *path) {
    struct stat status;
    return lstat(path, &status) == 0;
}

bool file_exists(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

bool folder_exists(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

int64_t folder_free_bytes(const char *path) {
    struct statvfs status;
    int64_t bytes;
    if (statvfs(path, &status) != 0) return INT64_MAX;
    return __builtin_mul_overflow(status.f_bavail, status.f_frsize, &bytes) ? INT64_MAX : bytes;
}

int folder_create(const char *path) {
    const int error = hooked(FOLDER_CREATE, path, -1, NULL);
    if (error) return error;
    return mkdir(path, 0777) != 0 ? errno : 0;
}

/* Also syncs the folder above. Until that is on the disk, this folder's name may be lost, and its contents with it. */
static int create_durably(const char *path) {
    const int error = folder_create(path);
    char *above = path_parent(path);
    if (!error) (void)folder_sync(above);
    free(above);
    return error;
}

int folder_create_all(const char *path) {
    if (folder_exists(path)) return 0;
    char *part = strdup(path);
    CHECK_MEMORY(part, "no memory for a path");
    int error = 0;
    for (char *end = part + 1; !error && *end; end++) {
        if (*end != '/') continue;
        *end = 0;
        if (!folder_exists(part)) error = create_durably(part);
        if (error == EEXIST) error = folder_exists(part) ? 0 : ENOTDIR;
        *end = '/';
    }
    if (!error && !folder_exists(part)) error = create_durably(part);
    if (error == EEXIST) error = folder_exists(path) ? 0 : ENOTDIR;
    free(part);
    return error;
}

static int compare_names(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

void folder_list_free(char **names, int64_t count) {
    for (int64_t i = 0; i < count; i++) free(names[i]);
    free(names);
}

/* The names in an open folder, sorted; fd stays open. */
static int list_open_folder(int fd, char ***names, int64_t *count) {
    *names = NULL;
    *count = 0;
    const int again = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR *folder = again < 0 ? NULL : fdopendir(again);
    if (!folder) {
        const int error = errno;
        if (again >= 0) close(again);
        return error;
    }
    errno = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL; errno = 0) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        *names = realloc(*names, (size_t)(*count + 1) * sizeof **names);
        char *name = strdup(entry->d_name);
        CHECK_MEMORY(*names && name, "no memory for the list of a folder");
        (*names)[(*count)++] = name;
    }
    const int error = errno;
    closedir(folder);
    if (error) {
        folder_list_free(*names, *count);
        *names = NULL;
        *count = 0;
        return error;
    }
    if (*count > 0) qsort(*names, (size_t)*count, sizeof **names, compare_names);
    return 0;
}

int folder_list(const char *path, char ***names, int64_t *count) {
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno;
    const int error = list_open_folder(fd, names, count);
    close(fd);
    return error;
}

/* Removes `name` from the open folder `parent`. Continues after an error and returns the first one at the end. All
 * operations are relative to an open folder and follow no links, so that nothing outside of it can be removed. `path`
 * is the full path, for the test hook. */
static int remove_entry(int parent, const char *name, const char *path) {
    struct stat status;
    char **names;
    int64_t count;
    if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) != 0) return errno;
    if (!S_ISDIR(status.st_mode)) {
        const int error = hooked(FILE_REMOVE, path, -1, NULL);
        if (error) return error;
        return unlinkat(parent, name, 0) != 0 ? errno : 0;
    }
    const int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return errno;
    int error = list_open_folder(fd, &names, &count);
    for (int64_t i = 0; i < count; i++) {
        char *inside = path_join(path, names[i]);
        const int failed = remove_entry(fd, names[i], inside);
        if (failed && failed != ENOENT && !error) error = failed;
        free(inside);
    }
    folder_list_free(names, count);
    close(fd);
    if (!error) error = hooked(FOLDER_REMOVE, path, -1, NULL);
    if (error) return error;
    return unlinkat(parent, name, AT_REMOVEDIR) != 0 ? errno : 0;
}

int folder_create_above(const char *path) {
    char *parent = path_parent(path);
    const int error = folder_create_all(parent);
    free(parent);
    return error;
}

int folder_create_empty(const char *path) {
    const int error = path_exists(path) ? folder_remove(path) : 0;
    return error ? error : folder_create(path);
}

int folder_remove(const char *path) {
    char *parent = path_parent(path), *name = strdup(path);
    CHECK_MEMORY(name, "no memory for a path");
    for (size_t end = strlen(name); end > 1 && name[end - 1] == '/'; end--) name[end - 1] = 0;
    const char *slash = strrchr(name, '/');
    const int fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const int error = fd < 0 ? errno : remove_entry(fd, slash ? slash + 1 : name, name);
    if (fd >= 0) close(fd);
    free(parent);
    free(name);
    return error;
}

int folder_sync(const char *path) {
    int fd;
    int error = open_with(path, O_RDONLY | O_DIRECTORY, &fd);
    if (error) return error;
    error = file_sync(fd);
    close(fd);
    return error == EINVAL || error == ENOSYS ? 0 : error;
}

int64_t folder_bytes(const char *path) {
    char **names;
    int64_t count, sum = 0;
    if (folder_list(path, &names, &count)) return 0;
    for (int64_t i = 0; i < count; i++) {
        char *file = path_join(path, names[i]);
        struct stat facts;
        if (stat(file, &facts) == 0 && S_ISREG(facts.st_mode)) sum += facts.st_size;
        free(file);
    }
    folder_list_free(names, count);
    return sum;
}

bool path_is_name(const char *text) {
    return text[0] && !strchr(text, '/') && strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
}

char *path_join(const char *folder, const char *name) {
    const size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    CHECK_MEMORY(path, "no memory for a path");
    snprintf(path, size, "%s/%s", folder, name);
    return path;
}

char *path_parent(const char *path) {
    size_t length = strlen(path);
    char *parent = malloc(length + 2);
    CHECK_MEMORY(parent, "no memory for a path");
    memcpy(parent, path, length + 1);
    while (length > 1 && parent[length - 1] == '/') length--;
    while (length > 0 && parent[length - 1] != '/') length--;
    while (length > 1 && parent[length - 1] == '/') length--;
    if (length == 0) parent[length++] = '.';
    parent[length] = 0;
    return parent;
}

/* The real path of the longest existing prefix of `path`. NULL if no prefix exists. The caller frees it. */
static char *real_beginning(const char *path) {
    char *real = realpath(path, NULL), *parent = real ? NULL : path_parent(path);
    if (parent && strcmp(parent, path) != 0) real = real_beginning(parent);
    free(parent);
    return real;
}

bool path_is_inside(const char *folder, const char *path) {
    char *real_folder = realpath(folder, NULL), *real_path = real_beginning(path);
    const bool root = real_folder && strcmp(real_folder, "/") == 0;
    const size_t length = real_folder && !root ? strlen(real_folder) : 0;
    const bool inside = real_folder && real_path && strncmp(real_folder, real_path, length) == 0 &&
                        (real_path[length] == '/' || real_path[length] == 0);
    free(real_folder);
    free(real_path);
    return inside;
}
