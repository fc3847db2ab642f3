/* Configurations as files and arguments, and the expected result of reading each. */
#ifndef FLAME_TESTS_CONFIG_CONFIG_CASES_H
#define FLAME_TESTS_CONFIG_CONFIG_CASES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "support/temporary.h"
#include "config/config.h"
#include "support/capture.h"

/* Writes a file of this name into the temporary folder. The returned path is valid until the next call. */
static inline char *write_case(const char *name, const char *text, size_t bytes) {
    static char path[512];
    char *joined = temporary_path(name);
    snprintf(path, sizeof path, "%s", joined);
    free(joined);
    write_file(path, text, (int64_t)bytes);
    return path;
}

/* Reads the file with further arguments (separated by spaces), as the program does. */
static inline Status load(const char *path, const char *arguments, int ranks, TrainConfig *config, char message[4096]) {
    char copy[1024] = "", *argv[64];
    int argc = 0;
    if (path) {
        argv[argc++] = "--config";
        argv[argc++] = (char *)path;
    }
    snprintf(copy, sizeof copy, "%s", arguments);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) argv[argc++] = word;
    Capture capture = capture_begin(2);
    Status status = config_load(argc, argv, config);
    if (status == OK) {
        status = config_validate(config, ranks);
        if (status != OK) config_free(config);
    }
    capture_end(&capture, message, 4096);
    return status;
}

typedef struct Case {
    const char *yaml;
    Status status;
    const char *message; /* a part of it; NULL: none is wanted */
    int ranks;           /* 0: 1 */
} Case;

static inline void expect(const char *what, const char *path, const char *arguments, const Case *c) {
    char message[4096];
    TrainConfig config;
    const Status status = load(path, arguments, c->ranks ? c->ranks : 1, &config, message);
    if (status == OK) config_free(&config);
    const bool right = status == c->status && (c->message ? strstr(message, c->message) != NULL : message[0] == 0);
    if (!right)
        print_error("%s\nstatus %d, wanted %d and \"%s\":\n%s\n", what, status, c->status, c->message ? c->message : "",
                    message);
    assert_true(right);
    if (c->status != OK) assert_ptr_equal(strstr(message, "flame-c: error:"), message);
    if (c->status != OK) assert_null(strstr(message + 1, "flame-c: "));
}

#endif
