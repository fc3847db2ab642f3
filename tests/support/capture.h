/* Captures standard output or standard error of a part of a test as text. */
#ifndef FLAME_TESTS_CORE_CAPTURE_H
#define FLAME_TESTS_CORE_CAPTURE_H

#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct Capture {
    FILE *file;
    int before, stream;
} Capture;

/* stream: 1 standard output, 2 standard error. */
static inline Capture capture_begin(int stream) {
    Capture capture = {tmpfile(), 0, stream};
    fflush(NULL);
    capture.before = dup(stream);
    dup2(fileno(capture.file), stream);
    return capture;
}

static inline void capture_end(Capture *capture, char *text, size_t room) {
    fflush(NULL);
    dup2(capture->before, capture->stream);
    close(capture->before);
    rewind(capture->file);
    text[fread(text, 1, room - 1, capture->file)] = 0;
    fclose(capture->file);
}

#endif
