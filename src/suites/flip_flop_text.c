#include "suites/flip_flop_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"
#include "base/log.h"

enum { T_MOST = 1 << 20 };

struct FlipFlopText {
    char *path;
    int fd;
    int64_t bytes, examples, T;
};

static Status cannot_read(const char *path, int error) {
    log_error("%s cannot be read: %s", path, file_read_reason(error));
    return file_is_missing(error) ? BAD_INPUT : IO_ERROR;
}

/* Finds T from the first line, and the number of lines. The last line may lack its line break. */
static Status measure(FlipFlopText *text, int64_t bytes) {
    text->bytes = bytes;
    const int64_t room = bytes < T_MOST + 1 ? bytes : T_MOST + 1;
    char *start = malloc((size_t)room + 1);
    CHECK_MEMORY(start, "out of memory");
    const int error = file_read(text->fd, start, room, 0);
    const char *end = error ? NULL : memchr(start, '\n', (size_t)room);
    text->T = end ? end - start : bytes;
    text->examples = (bytes + 1) / (text->T + 1);
    free(start);
    if (error) return cannot_read(text->path, error);
    const int64_t lines = text->examples * (text->T + 1);
    if (text->T >= 2 && text->T <= T_MOST && text->T % 2 == 0 && (bytes == lines || bytes == lines - 1)) return OK;
    log_error("%s is not a text of lines of one even length, at most %d: its first line has %lld characters, the file "
              "%lld bytes",
              text->path, T_MOST, (long long)text->T, (long long)bytes);
    return BAD_INPUT;
}

Status flip_flop_text_open(const char *path, FlipFlopText **opened) {
    int64_t bytes;
    FlipFlopText *text = calloc(1, sizeof *text);
    CHECK_MEMORY(text, "out of memory");
    text->path = strdup(path);
    CHECK_MEMORY(text->path, "out of memory");
    const int error = file_open_read(path, &text->fd, &bytes);
    if (error) text->fd = -1;
    const Status status = error ? cannot_read(path, error) : measure(text, bytes);
    if (status == OK)
        *opened = text;
    else
        flip_flop_text_close(text);
    return status;
}

void flip_flop_text_close(FlipFlopText *text) {
    if (!text) return;
    if (text->fd >= 0) close(text->fd);
    free(text->path);
    free(text);
}

int64_t flip_flop_text_examples(const FlipFlopText *text) { return text->examples; }

int64_t flip_flop_text_length(const FlipFlopText *text) { return text->T; }

/* The id of a character at an even or odd position, or -1. */
static int32_t id_of(char character, int64_t t) {
    static const char ids[FLIP_FLOP_TOKENS + 1] = {
        [WRITE] = 'w', [READ] = 'r', [IGNORE] = 'i', [ZERO] = '0', [ZERO + 1] = '1'};
    const char *found = character ? strchr(ids, character) : NULL;
    return found && (found - ids >= ZERO) == (t % 2 == 1) ? (int32_t)(found - ids) : -1;
}

/* What is wrong at position t of a line; NULL: nothing. The inputs up to t are set. */
static const char *fault_at(int64_t T, int64_t t, const int32_t *inputs, int32_t stored) {
    if (inputs[t] < 0) return t % 2 ? "is not 0 or 1" : "is not w, r or i";
    if (t == 0 && inputs[t] != WRITE) return "is not w, as the first";
    if (t == T - 2 && inputs[t] != READ) return "is not r, as the last";
    if (t % 2 && inputs[t - 1] == READ && inputs[t] != stored) return "is not the bit that was written last";
    return NULL;
}

static Status read_line(const FlipFlopText *text, int64_t number, const char *line, Example e) {
    int32_t stored = -1;
    for (int64_t t = 0; t < text->T; t++) {
        e.inputs[t] = id_of(line[t], t);
        const char *fault = fault_at(text->T, t, e.inputs, stored);
        if (fault) {
            log_error("%s: character %lld of line %lld %s", text->path, (long long)t + 1, (long long)number + 1, fault);
            return BAD_INPUT;
        }
        if (t % 2 && e.inputs[t - 1] == WRITE) stored = e.inputs[t];
        e.labels[t] = e.inputs[t] == READ ? stored : IGNORED_LABEL;
    }
    return OK;
}

Status flip_flop_text_example(const FlipFlopText *text, int64_t number, Example example) {
    CHECK(number >= 0 && number < text->examples, "line %lld of %lld", (long long)number, (long long)text->examples);
    const int64_t row = text->T + 1, left = text->bytes - number * row, bytes = left < row ? left : row;
    char *line = malloc((size_t)row);
    CHECK_MEMORY(line, "out of memory");
    line[text->T] = '\n'; /* which the last line may lack */
    const int error = file_read(text->fd, line, bytes, number * row);
    Status status = error ? cannot_read(text->path, error) : read_line(text, number, line, example);
    if (status == OK && line[text->T] != '\n') {
        log_error("%s: line %lld does not have %lld characters", text->path, (long long)number + 1, (long long)text->T);
        status = BAD_INPUT;
    }
    free(line);
    return status;
}

/* The path of a split's file. The caller frees it. */
static char *path_of(const char *path, const char *split) {
    char name[64];
    snprintf(name, sizeof name, "%s.txt", split);
    return path_join(path, name);
}

static bool has_split(const char *path, const char *split) {
    char *text = path_of(path, split);
    const bool exists = path_exists(text);
    free(text);
    return exists;
}

static Status open_split(const char *path, const char *split, void **file) {
    char *name = path_of(path, split);
    FlipFlopText *text = NULL;
    const Status status = flip_flop_text_open(name, &text);
    free(name);
    *file = text;
    return status;
}

static void close_split(void *file) { flip_flop_text_close(file); }
static int64_t examples_of(const void *file) { return flip_flop_text_examples(file); }
static int64_t length_of(const void *file) { return flip_flop_text_length(file); }

static Status example_of(const void *file, int64_t number, int64_t tokens, Example example) {
    (void)tokens; /* the file can hold only the tokens of the task */
    return flip_flop_text_example(file, number, example);
}

static const char *const endings[] = {".txt", NULL};

const TaskFiles flip_flop_files = {endings, has_split, open_split, close_split, examples_of, length_of, example_of};
