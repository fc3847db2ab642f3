/* Small token files in a temporary folder, and capture of the log, for the tests of the data readers. */
#ifndef FLAME_TESTS_TOKENS_FIXTURE_H
#define FLAME_TESTS_TOKENS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"
#include "data/shuffle.h"
#include "data/tokens_writer.h"

/* A temporary folder for each program, removed at its end. */
static char fixture_folder[256];

static int fixture_setup(void **state) {
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(fixture_folder, sizeof fixture_folder, "%s/flame-tokens-XXXXXX", base ? base : "/tmp");
    return mkdtemp(fixture_folder) ? 0 : -1;
}

static int fixture_teardown(void **state) {
    (void)state;
    return folder_remove(fixture_folder);
}

/* The path of a file in that folder. It is valid for 8 further calls. */
static inline const char *fixture_path(const char *name) {
    static char paths[8][512];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", fixture_folder, name);
    return path;
}

/* Token number i of a fixture: below 300, with some repetition so that it compresses. */
static inline uint32_t fixture_token(uint64_t seed, int64_t i) {
    return (uint32_t)(hash_mix(seed, (uint64_t)i / 3) % 300);
}

/* `documents` documents of `length` tokens; a document's length grows by one from each to the next if `growing`. */
static inline void fixture_write(const char *path, uint64_t seed, int64_t documents, int64_t length, bool growing,
                                 int64_t chunk_tokens, int width) {
    TokensWriterOptions options = tokens_writer_bytes_options(path);
    options.force = true;
    options.chunk_tokens = chunk_tokens;
    options.width = width;
    TokensWriter *writer;
    assert_int_equal(tokens_writer_open(&options, &writer), OK);
    int64_t written = 0;
    for (int64_t document = 0; document < documents; document++) {
        for (int64_t end = written + length + (growing ? document : 0); written < end; written++) {
            uint32_t token = fixture_token(seed, written);
            assert_int_equal(tokens_writer_add(writer, &token, 1), OK);
        }
        tokens_writer_end_document(writer);
    }
    assert_int_equal(tokens_writer_finish(writer), OK);
}

/* What is written to standard error between begin and end. */
static int captured_stderr = -1;
static char captured_path[300];

static inline void capture_begin(void) {
    fflush(stderr);
    captured_stderr = dup(STDERR_FILENO);
    snprintf(captured_path, sizeof captured_path, "%s/stderr", fixture_folder);
    int file = open(captured_path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    dup2(file, STDERR_FILENO);
    close(file);
}

static inline const char *capture_end(void) {
    static char text[1 << 16];
    fflush(stderr);
    dup2(captured_stderr, STDERR_FILENO);
    close(captured_stderr);
    FILE *file = fopen(captured_path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    return text;
}

static inline void assert_mentions(const char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("expected \"%s\" in: %s", part, text);
}

#endif
