#include "base/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/unfinished.h"

static int my_rank = 0, world_size = 1;
static void (*abort_job)(int) = NULL;
static pthread_t abort_thread; /* the only thread that may call abort_job */
static void (*before_ending)(void);
static atomic_bool ending;

enum { MESSAGE = 4096, KEPT_BYTES = 1 << 16, ENDING_SECONDS = 5 };

/* Buffer of the messages since the last comm_worst: "warning: ...", each terminated by a zero byte. Reader threads log
 * too, hence the lock. */
static char *kept;
static int64_t kept_bytes;
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;

void log_set_rank(int rank, int size) {
    my_rank = rank;
    world_size = size;
}

int log_rank(void) { return my_rank; }

void log_set_abort(void (*function)(int code)) {
    abort_job = function;
    abort_thread = pthread_self();
}

void log_set_ending(void (*function)(void)) { before_ending = function; }

/* One write per line, so that lines of several ranks do not mix. */
void log_repeat(int rank, const char *message) {
    const char *text = strstr(message, ": ") + 2;
    char who[32] = "";
    if (world_size > 1) snprintf(who, sizeof who, "[rank %d] ", rank);
    fprintf(stderr, "flame-c: %.*s%s%s\n", (int)(text - message), message, who, text);
    fflush(stderr);
}

char *log_take(int64_t *bytes) {
    pthread_mutex_lock(&kept_lock);
    char *taken = kept;
    *bytes = kept_bytes;
    kept = NULL;
    kept_bytes = 0;
    pthread_mutex_unlock(&kept_lock);
    return taken;
}

void log_flush(void) {
    int64_t bytes;
    char *messages = log_take(&bytes);
    for (const char *m = messages; my_rank != 0 && m < messages + bytes; m += strlen(m) + 1) log_repeat(my_rank, m);
    free(messages);
}

/* Buffers a message. False if the buffer is full. */
static bool keep(const char *message) {
    const int64_t bytes = (int64_t)strlen(message) + 1;
    pthread_mutex_lock(&kept_lock);
    char *larger = kept_bytes + bytes <= KEPT_BYTES ? realloc(kept, (size_t)(kept_bytes + bytes)) : NULL;
    if (larger) {
        memcpy(larger + kept_bytes, message, (size_t)bytes);
        kept = larger;
        kept_bytes += bytes;
    }
    pthread_mutex_unlock(&kept_lock);
    return larger;
}

static void log_message(const char *kind, const char *format, va_list arguments) {
    if (atomic_load(&ending)) return; /* what fails now fails because the job ends */
    char message[MESSAGE];
    const int start = snprintf(message, sizeof message, "%s: ", kind);
    vsnprintf(message + start, sizeof message - (size_t)start, format, arguments);
    const bool is_kept = world_size > 1 && keep(message);
    if (my_rank == 0 || !is_kept) log_repeat(my_rank, message);
}

static int exit_code;

static void *exit_late(void *argument) {
    (void)argument;
    sleep(ENDING_SECONDS);
    _exit(exit_code);
}

/* Makes sure that the process ends: flushing would wait for a thread that is stuck in a file, and abort_job may
 * hang. */
static void limit_the_end(int code) {
    pthread_t thread;
    exit_code = code;
    if (pthread_create(&thread, NULL, exit_late, NULL) == 0) pthread_detach(thread);
}

void log_end_job(int code) {
    while (atomic_exchange(&ending, true)) pause(); /* another thread is ending this process */
    if (before_ending) before_ending();
    limit_the_end(code);
    unfinished_remove();
    log_flush();
    fflush(NULL);
    if (abort_job && pthread_equal(pthread_self(), abort_thread)) abort_job(code);
    _exit(code);
}

void log_info(const char *format, ...) {
    if (my_rank != 0) return;
    char message[MESSAGE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    printf("%s\n", message);
    fflush(stdout);
}

void log_warning(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    log_message("warning", format, arguments);
    va_end(arguments);
}

void log_error(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    log_message("error", format, arguments);
    va_end(arguments);
}

void check_failed(const char *file, int line, const char *condition, const char *format, ...) {
    char message[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    log_error("%s:%d: %s (expected %s). This is a bug in flame-c.", file, line, message, condition);
    if (abort_job) log_end_job(CHECK_FAILED);
    abort();
}
