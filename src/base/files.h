/* Operations on files and folders. Every function that can fail returns 0 or an errno, and logs nothing: only the
 * caller knows what the file was for. Interrupted and short reads and writes are continued. */
#ifndef FLAME_BASE_FILES_H
#define FLAME_BASE_FILES_H

#include <stdbool.h>
#include <stdint.h>

/* Opens for reading; *bytes (may be NULL) is the size. Refuses what is not a regular file (EISDIR for a folder, else
 * EINVAL), without blocking on a pipe. */
int file_open_read(const char *path, int *fd, int64_t *bytes);
/* Creates a file that does not exist yet, or opens one that does, for writing. */
int file_create(const char *path, int *fd);
int file_open_write(const char *path, int *fd);
/* Does this errno say that there is no such file, or that it is something else than a file? Other errors are the
 * disk's, and may be gone the next time. */
bool file_is_missing(int error);
/* A file system may report a failed write only here. */
int file_close(int fd);

/* Exactly `bytes` bytes at `offset`. ENODATA if the file ends before. */
int file_read(int fd, void *to, int64_t bytes, int64_t offset);
int file_write(int fd, const void *from, int64_t bytes, int64_t offset);
/* Gives the file its size, and its room on the disk where the file system can reserve it. */
int file_allocate(int fd, int64_t bytes);
int file_sync(int fd);
/* Asks the disk to begin with this range; only a hint. */
void file_start_writing(int fd, int64_t bytes, int64_t offset);

/* The whole file with a zero byte behind it; the caller frees *text. EFBIG if it is larger than `limit` bytes. */
int file_read_all(const char *path, int64_t limit, char **text, int64_t *bytes);
/* A new file with this content, durable. Takes it away again if that fails. */
int file_write_all(const char *path, const void *data, int64_t bytes);
/* The same under a name that may be taken: the old content stays until the new one is whole. A link is replaced, not
 * what it points to. Only one process at a time may do this; a rest of one that died is removed. */
int file_replace(const char *path, const void *data, int64_t bytes);
/* A new file with the content of another, durable. */
int file_copy(const char *from, const char *to);
int file_rename(const char *from, const char *to);
/* Swaps two names in one step. EINVAL or ENOSYS where the file system cannot. */
int file_exchange(const char *a, const char *b);
int file_remove(const char *path);
bool file_exists(const char *path);
/* Is there anything of this name? A link counts, whether or not there is something behind it. */
bool path_exists(const char *path);

int folder_create(const char *path);
/* With the folders above it; an existing folder is fine. */
int folder_create_all(const char *path);
/* The folders above `path`, which itself need not exist. */
int folder_create_above(const char *path);
/* A new folder, with the folders above it. What has the name already is removed first: give it only names that nobody
 * else uses, such as those of temporary folders. */
int folder_create_empty(const char *path);
/* Removes a folder with everything in it. Never leaves it: a symbolic link in it, or in its place, is removed as the
 * link that it is. */
int folder_remove(const char *path);
/* Makes the names in the folder durable. File systems that cannot sync a folder do so by themselves: no error. */
int folder_sync(const char *path);
bool folder_exists(const char *path);
/* Bytes that can still be written there; INT64_MAX if that is unknown. */
int64_t folder_free_bytes(const char *path);
/* The names in a folder without . and .., sorted; free with folder_list_free. */
int folder_list(const char *path, char ***names, int64_t *count);
void folder_list_free(char **names, int64_t count);

/* "FOLDER/NAME" in new memory; the caller frees it. */
char *path_join(const char *folder, const char *name);
/* The folder that `path` lies in, in new memory. */
char *path_parent(const char *path);
/* Is `path` the existing folder `folder`, or inside of it? The last part of `path` need not exist. */
bool path_is_inside(const char *folder, const char *path);

/* For tests: `hook` is called before each operation that reaches the disk, with a path (else NULL) or a file (else -1).
 * It returns the errno to fail with (0: go on), may lower *bytes to make a read or write short, may end the process.
 * NULL takes it away. */
typedef enum FileOperation {
    FILE_OPEN,
    FILE_READ,
    FILE_WRITE,
    FILE_ALLOCATE,
    FILE_SYNC,
    FILE_CLOSE,
    FILE_RENAME,
    FILE_REMOVE,
    FOLDER_CREATE,
    FOLDER_REMOVE
} FileOperation;
typedef int (*FileHook)(FileOperation operation, const char *path, int fd, int64_t *bytes);
void files_set_hook(FileHook hook);

#endif
