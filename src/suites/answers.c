#include "suites/answers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/log.h"

enum { ANSWERS_MAX = 1 << 30 };

static void take_answers(Result *row, const char *answers, size_t examples) {
    row->right = malloc(examples + 1);
    CHECK_MEMORY(row->right, "out of memory");
    for (size_t i = 0; i < examples; i++) row->right[i] = answers[i] == '1';
    row->examples = (int64_t)examples;
}

/* Reads the lines "SPLIT 0110...", one for each split. */
static Status read_lines(const char *path, char *text, Result *row) {
    for (char *line = text, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        if (end) *end = 0;
        char *answers = strrchr(line, ' ');
        if (!end || !answers || answers[1 + strspn(answers + 1, "01")]) {
            log_error(
                "%s is not lines of a split and of its answers, 0 or 1; delete it and the .csv beside it to train "
                "this run again",
                path);
            return BAD_INPUT;
        }
        *answers++ = 0;
        if (strcmp(line, "test") == 0 && !row->right) take_answers(row, answers, strlen(answers));
    }
    return OK;
}

static Status read_run(const char *runs, Result *row) {
    const size_t length = strlen(row->run) + sizeof ".right";
    char *name = malloc(length), *text = NULL;
    int64_t bytes = 0;
    CHECK_MEMORY(name, "out of memory");
    snprintf(name, length, "%s.right", row->run);
    char *path = path_join(runs, name);
    const int error = file_read_all(path, ANSWERS_MAX, &text, &bytes);
    Status status = OK;
    if (error == 0) {
        status = read_lines(path, text, row);
    } else if (!file_is_missing(error)) {
        log_error("%s cannot be read: %s", path, file_read_reason(error));
        status = IO_ERROR;
    }
    free(text);
    free(path);
    free(name);
    return status;
}

Status answers_read(const char *folder, Results *results) {
    char *runs = path_join(folder, "runs");
    Status status = OK;
    for (int64_t i = 0; i < results->count && status == OK; i++) {
        Result *row = &results->row[i];
        if (row->run[0] && strcmp(row->name[NAME_SPLIT], "test") == 0) status = read_run(runs, row);
    }
    free(runs);
    return status;
}
