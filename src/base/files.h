/* Operations on files and folders. Functions that can fail return 0 or an errno and log nothing, since only the caller
 * knows what the file is for. Interrupted system calls are repeated, short reads and writes are continued. */
#ifndef FLAME_BASE_FILES_H
#define FLAME_BASE_FILES_H

#include <stdbool.h>
#include <stdint.h>

/* Opens /dev/null in place of standard input, output or error if it is closed. Otherwise the next file would get its
 * number, and printed text would be written into that file. Call it before opening anything. */
void files_reserve_standard(void);
/* Opens a regular file for reading; *bytes (`bytes` may be NULL) receives its size. EISDIR for a folder, EINVAL for
 * anything else; does not block on a pipe. */
int file_open_read(const char *path, int *fd, int64_t *bytes);
/* Creates a file for writing; EEXIST if it exists. */
int file_create(const char *path, int *fd);
/* Opens an existing file for writing, without truncating it. */
int file_open_write(const char *path, int *fd);
/* Whether an errno means that the path is not a file: missing, a folder, a loop of links, ... All other errors are I/O
 * errors, and a second try may succeed. */
bool file_is_missing(int error);
/* Check its result after writing: some file systems report failed writes only on close. */
int file_close(int fd);

/* Read or write exactly `bytes` bytes at `offset`. ENODATA if the file is too short. */
int file_read(int fd, void *to, int64_t bytes, int64_t offset);
int file_write(int fd, const void *from, int64_t bytes, int64_t offset);
/* Sets the size of the file, and reserves disk space where the file system can. */
int file_allocate(int fd, int64_t bytes);
/* fsync. */
int file_sync(int fd);
/* Chooses whether writes go past the page cache. Their memory, offset and length must then be aligned to the disk's
 * blocks, or they fail with EINVAL. Returns EINVAL if the file system cannot write so. */
int file_set_direct(int fd, bool direct);

/* What to say in a message about an error of file_open_read or file_read_all. */
const char *file_read_reason(int error);

/* Reads the whole file and appends a zero byte; the caller frees *text. EFBIG if it is larger than `limit` bytes. */
int file_read_all(const char *path, int64_t limit, char **text, int64_t *bytes);
/* Creates a file with this content and fsyncs it. On failure removes the file. EEXIST if it exists. */
int file_write_all(const char *path, const void *data, int64_t bytes);
/* The same, but replaces an existing file atomically by rename; a link is replaced, not its target. Only one process at
 * a time may do this to a path; removes the temporary file of one that died, PATH.flame-c.tmp. */
int file_replace(const char *path, const void *data, int64_t bytes);
int file_rename(const char *from, const char *to);
/* Atomically exchanges two names. EINVAL or ENOSYS if the file system does not support it. */
int file_exchange(const char *a, const char *b);
int file_remove(const char *path);
/* Whether `path` is a regular file, or a link to one. */
bool file_exists(const char *path);
/* Whether anything has this name, even a dangling link. */
bool path_exists(const char *path);

int folder_create(const char *path);
/* Creates a folder and its missing parents, and syncs their names; an existing folder is not an error. */
int folder_create_all(const char *path);
/* Creates the missing parents of `path`. */
int folder_create_above(const char *path);
/* Creates an empty folder. Anything that has the name already is removed first, so use it only for temporary names. */
int folder_create_empty(const char *path);
/* Removes a folder and everything in it. Symbolic links, in the folder or in its place, are unlinked and never
 * followed. */
int folder_remove(const char *path);
/* fsyncs the folder, which makes renames in it durable. No error on file systems that cannot sync folders. */
int folder_sync(const char *path);
bool folder_exists(const char *path);
/* Free disk space at `path`; INT64_MAX if it is unknown. */
int64_t folder_free_bytes(const char *path);
/* Total size of the regular files directly in a folder, without those in its subfolders. */
int64_t folder_bytes(const char *path);
/* Lists the names in a folder, without . and .., sorted by byte value. Free them with folder_list_free. */
int folder_list(const char *path, char ***names, int64_t *count);
void folder_list_free(char **names, int64_t count);

/* Whether the text is a plain file name, not a path that leads out of a folder. */
bool path_is_name(const char *text);
/* "FOLDER/NAME". The caller frees it. */
char *path_join(const char *folder, const char *name);
/* The folder that contains `path`: "a/b" -> "a", "b" -> ".". The caller frees it. */
char *path_parent(const char *path);
/* Whether `path` is the folder `folder`, which exists, or lies inside it, after resolving links. `path` need not
 * exist. */
bool path_is_inside(const char *folder, const char *path);

/* Fault injection for tests: `hook` is called before each operation, with either a path (otherwise NULL) or a
 * descriptor (otherwise -1). It returns 0, or the errno with which the operation is to fail. It may lower *bytes, to
 * cause a short read or write, or end the process. NULL removes the hook. */
typedef enum FileOperation {
    FILE_OPEN,
    FILE_READ,
    FILE_WRITE,
    FILE_ALLOCATE,
    FILE_SYNC,
    FILE_CLOSE,
    FILE_RENAME,
    FILE_EXCHANGE,
    FILE_REMOVE,
    FOLDER_CREATE,
    FOLDER_REMOVE
} FileOperation;
typedef int (*FileHook)(FileOperation operation, const char *path, int fd, int64_t *bytes);
void files_set_hook(FileHook hook);

#endif
