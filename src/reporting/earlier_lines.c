#include "reporting/earlier_lines.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/log.h"
#include "reporting/journal.h"

static Status unreadable(const char *path, int error) {
    log_error("%s cannot be read: %s. It is unchanged", path, file_read_reason(error));
    return IO_ERROR;
}

Status earlier_lines_put_aside(const char *path) {
    char old[4096 + 24];
    struct stat about;
    if (stat(path, &about) != 0) return errno == ENOENT ? OK : unreadable(path, errno);
    if (about.st_size == 0) return OK;
    snprintf(old, sizeof old, "%s.old", path);
    for (int n = 2; access(old, F_OK) == 0; n++) snprintf(old, sizeof old, "%s.old-%d", path, n);
    if (rename(path, old) != 0) {
        log_error("%s cannot be renamed to %s: %s", path, old, strerror(errno));
        return IO_ERROR;
    }
    log_info("metrics.jsonl of an earlier run was renamed to %s", old);
    return OK;
}

/* The step of a line, which begins with {"step": N; -1: it does not. */
static int64_t step_of(const char *line) {
    static const char opening[] = "{\"step\": ";
    if (strncmp(line, opening, strlen(opening)) != 0) return -1;
    char *end;
    const char *digits = line + strlen(opening);
    const long long step = strtoll(digits, &end, 10);
    return end == digits ? -1 : step;
}

/* Whether they are this run's. */
static bool are_of(const char *lines, int64_t bytes, const char *run) {
    const char *end = memchr(lines, '\n', (size_t)bytes);
    json_t *first = end ? json_loadb(lines, (size_t)(end - lines), JSON_ALLOW_NUL, NULL) : NULL;
    const char *name = json_string_value(json_object_get(first, "run"));
    const bool same = !end || strcmp(name ? name : "", run) == 0;
    json_decref(first);
    return same;
}

static void look_at(const char *line, int64_t bytes, EarlierLines *kept) {
    json_t *object = json_loadb(line, (size_t)bytes, JSON_ALLOW_NUL, NULL);
    if (json_object_get(object, "val_loss")) kept->validation = true;
    if (json_object_get(object, "prompt")) kept->previews = true;
    json_decref(object);
}

/* They end before the first line of a later step, or before a line that a crash has cut short. */
static EarlierLines find_kept(const char *lines, int64_t bytes, int64_t step) {
    EarlierLines kept = {0};
    for (const char *end; (end = memchr(lines + kept.bytes, '\n', (size_t)(bytes - kept.bytes)));) {
        const char *line = lines + kept.bytes;
        const int64_t line_step = step_of(line);
        if (line_step < 0 || line_step > step) break;
        if (line_step == step) look_at(line, end - line, &kept);
        kept.bytes = end + 1 - lines;
    }
    return kept;
}

static Status append_durably(const char *path, const char *lines, int64_t bytes) {
    Journal journal;
    Status status = journal_open(&journal, path, -1);
    if (status != OK) return status;
    journal_append(&journal, lines, (size_t)bytes);
    if (journal.failing || fdatasync(journal.fd) != 0) {
        log_error("%s cannot be written; metrics.jsonl is unchanged", path);
        status = IO_ERROR;
    }
    journal_close(&journal);
    return status;
}

static Status move_void_lines(const char *path, const char *lines, int64_t bytes, int64_t step) {
    while (bytes > 0 && lines[bytes - 1] != '\n') bytes--;
    if (bytes == 0) return OK;
    char *folder = path_parent(path), *void_path = path_join(folder, "metrics.void.jsonl");
    const Status status = append_durably(void_path, lines, bytes);
    if (status == OK)
        log_info("the lines of metrics.jsonl after step %lld are void and were moved to %s", (long long)step,
                 void_path);
    free(folder);
    free(void_path);
    return status;
}

Status earlier_lines_keep(const char *path, const char *run, int64_t step, EarlierLines *kept) {
    char *lines;
    int64_t bytes;
    const int error = file_read_all(path, INT64_MAX, &lines, &bytes);
    *kept = (EarlierLines){0};
    if (error) return error == ENOENT ? OK : unreadable(path, error);
    const bool own = are_of(lines, bytes, run);
    if (own) *kept = find_kept(lines, bytes, step);
    const Status status =
        own ? move_void_lines(path, lines + kept->bytes, bytes - kept->bytes, step) : earlier_lines_put_aside(path);
    free(lines);
    return status;
}
