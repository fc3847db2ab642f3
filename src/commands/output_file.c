#include "commands/output_file.h"

#include <string.h>

#include "base/files.h"
#include "base/log.h"

Status output_is_free(const char *option, const char *path) {
    if (!path || !path_exists(path)) return OK;
    log_error("--%s %s: exists already; give another name", option, path);
    return BAD_INPUT;
}

Status output_write(const char *path, const char *text, int64_t bytes) {
    int error = folder_create_above(path);
    if (!error) error = file_replace(path, text, bytes);
    if (error) log_error("writing %s: %s", path, strerror(error));
    return error ? IO_ERROR : OK;
}
