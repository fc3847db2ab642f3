/* Reads a configuration file and parses it by the suffix of its name. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/log.h"
#include "base/memory.h"
#include "config/config_value.h"

static Status refuse(const char *path, Status status, const char *why) {
    log_error("%s: %s", path, why);
    return status;
}

/* Reads at most one byte more than the limit, because fstat reports size 0 for some files. */
static Status read_text(const char *path, char **text, size_t *bytes) {
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return refuse(path, file_is_missing(errno) ? BAD_INPUT : IO_ERROR, strerror(errno));
    struct stat about;
    Status status = OK;
    if (fstat(fd, &about) != 0)
        status = refuse(path, IO_ERROR, strerror(errno));
    else if (S_ISDIR(about.st_mode))
        status = refuse(path, BAD_INPUT, "is a folder, not a configuration file");
    else if (!S_ISREG(about.st_mode))
        status = refuse(path, BAD_INPUT, "is not a regular file, so it cannot be a configuration");
    else if (about.st_size > CONFIG_BYTES)
        status = refuse(path, BAD_INPUT, "is larger than 1 MiB, which no configuration needs");
    char *buffer = memory_take(CONFIG_BYTES + 1, "reading the configuration", NOTHING_LESS);
    size_t used = 0;
    while (status == OK && used <= CONFIG_BYTES) {
        const ssize_t got = read(fd, buffer + used, CONFIG_BYTES + 1 - used);
        if (got == 0) break;
        if (got > 0) used += (size_t)got;
        if (got < 0 && errno != EINTR) status = refuse(path, IO_ERROR, strerror(errno));
    }
    close(fd);
    if (status == OK) {
        *text = buffer;
        *bytes = used;
    } else {
        free(buffer);
    }
    return status;
}

Status config_value_read(const char *path, ConfigValue **value) {
    char *text = NULL;
    size_t bytes = 0;
    Status status = read_text(path, &text, &bytes);
    if (status != OK) return status;
    const size_t length = strlen(path);
    if (length > 5 && strcmp(path + length - 5, ".json") == 0)
        status = config_value_read_json(path, text, bytes, value);
    else if (length > 5 && strcmp(path + length - 5, ".toml") == 0)
        status = config_value_read_toml(path, text, bytes, value);
    else
        status = config_value_read_yaml(path, text, bytes, value);
    free(text);
    return status;
}
