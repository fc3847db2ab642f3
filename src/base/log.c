#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"

static int my_rank = 0, world_size = 1;
static void (*abort_job)(int) = NULL;

void log_set_rank(int rank, int size) {
    my_rank = rank;
    world_size = size;
}

int log_rank(void) { return my_rank; }

void log_set_abort(void (*function)(int code)) { abort_job = function; }

void log_end_job(int code) {
    fflush(NULL);
    if (abort_job) abort_job(code);
    _exit(code);
}

/* One write per line, so that lines of several ranks do not mix. */
static void print_line(FILE *file, const char *kind, const char *format, va_list arguments) {
    char message[4096], who[32] = "";
    vsnprintf(message, sizeof message, format, arguments);
    if (world_size > 1 && kind[0]) snprintf(who, sizeof who, "[rank %d] ", my_rank);
    if (kind[0])
        fprintf(file, "flame-c: %s: %s%s\n", kind, who, message);
    else
        fprintf(file, "%s\n", message);
    fflush(file);
}

void log_info(const char *format, ...) {
    if (my_rank != 0) return;
    va_list arguments;
    va_start(arguments, format);
    print_line(stdout, "", format, arguments);
    va_end(arguments);
}

void log_warning(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print_line(stderr, "warning", format, arguments);
    va_end(arguments);
}

void log_error(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print_line(stderr, "error", format, arguments);
    va_end(arguments);
}

void check_failed(const char *file, int line, const char *condition, const char *format, ...) {
    char message[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    log_error("%s:%d: %s (expected %s). This is a bug in flame-c.", file, line, message, condition);
    if (abort_job) abort_job(70);
    abort();
}
