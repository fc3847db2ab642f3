#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"

void memory_refused(int64_t bytes, const char *what, const char *advice) {
    log_error("out of memory: %s needs %.1f MB, which the system refuses. %s", what, (double)bytes / 1e6, advice);
    log_end_job(BAD_INPUT);
}

void *memory_take(int64_t bytes, const char *what, const char *advice) {
    void *memory = calloc((size_t)(bytes > 0 ? bytes : 1), 1);
    if (!memory) memory_refused(bytes, what, advice);
    return memory;
}

void memory_ended(const char *file, int line, const char *format, ...) {
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    log_error("%s (%s:%d): the system refused the request. " NOTHING_LESS, message, file, line);
    log_end_job(BAD_INPUT);
}
