/* The watchdog with a collective that never ends, one that fails, and many that end, each in a process of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "parallel/watchdog.h"

typedef struct Lane {
    atomic_long ended; /* collectives before this number have ended */
    const char *_Atomic failure;
} Lane;

static bool done(void *context, int64_t ticket) { return ticket < ((Lane *)context)->ended; }
static bool failure(void *context, WatchdogFailure *failure) {
    const char *what = ((Lane *)context)->failure;
    if (!what) return false;
    *failure = (WatchdogFailure){.advice = "Try again", .code = IO_ERROR};
    snprintf(failure->what, sizeof failure->what, "%s", what);
    return true;
}

static void pause_seconds(double seconds) {
    const struct timespec time = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&time, NULL);
}

static void never_ends(Watchdog *watchdog, Lane *lane) {
    watchdog_begin(watchdog, "all-gather", "model.layers.1");
    watchdog_begin(watchdog, "reduce-scatter", "model.layers.2");
    lane->ended = 1;
    pause_seconds(60);
}

static void fails(Watchdog *watchdog, Lane *lane) {
    watchdog_begin(watchdog, "all-gather", "root");
    lane->failure = "remote error";
    pause_seconds(60);
}

static void does_not_return(Watchdog *watchdog, Lane *lane) {
    (void)lane;
    watchdog_call(watchdog, "connection", "the ranks");
    pause_seconds(60);
}

/* The collective ends in time, but then the call does not return. */
static void does_not_return_later(Watchdog *watchdog, Lane *lane) {
    watchdog_begin(watchdog, "all-gather", "root");
    watchdog_call(watchdog, "reduce-scatter", "root");
    lane->ended = 1;
    pause_seconds(60);
}

/* More collectives than the watchdog has slots. Each takes less than the limit, but all together take more. */
static void ends(Watchdog *watchdog, Lane *lane) {
    for (int i = 0; i < 4 * WATCHDOG_OPEN; i++) {
        CHECK(watchdog_next(watchdog) == i, "numbers count up");
        watchdog_begin(watchdog, "all-gather", "root");
        if (i % WATCHDOG_OPEN == 0) pause_seconds(0.4);
        lane->ended = i + 1;
        watchdog_call(watchdog, "registration", "memory");
        watchdog_returned(watchdog);
    }
    pause_seconds(1.2); /* no collective is in progress */
}

/* The exit code and the log of a process that runs this under a watchdog with a limit of one second. */
static int run(void (*body)(Watchdog *watchdog, Lane *lane), char *said, size_t size) {
    int ends_of_pipe[2];
    assert_int_equal(pipe(ends_of_pipe), 0);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        Lane lane = {0, NULL};
        dup2(ends_of_pipe[1], STDERR_FILENO);
        Watchdog *watchdog = watchdog_create((WatchdogOptions){1, done, failure, &lane, " over the replicas"});
        body(watchdog, &lane);
        watchdog_destroy(watchdog);
        _exit(0);
    }
    close(ends_of_pipe[1]);
    size_t length = 0;
    for (ssize_t n; (n = read(ends_of_pipe[0], said + length, size - 1 - length)) > 0;) length += (size_t)n;
    said[length] = 0;
    close(ends_of_pipe[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_a_hang_ends_the_job(void **state) {
    (void)state;
    char said[4096];
    assert_int_equal(run(never_ends, said, sizeof said), WATCHDOG);
    assert_non_null(strstr(said, "no progress for 1 s in the reduce-scatter of model.layers.2 over the replicas. "));
}

static void test_a_failure_ends_the_job(void **state) {
    (void)state;
    char said[4096];
    assert_int_equal(run(fails, said, sizeof said), IO_ERROR);
    assert_non_null(strstr(said, "remote error in the all-gather of root over the replicas. Try again\n"));
}

static void test_a_call_that_does_not_return_ends_the_job(void **state) {
    (void)state;
    char said[4096];
    assert_int_equal(run(does_not_return, said, sizeof said), WATCHDOG);
    assert_non_null(strstr(said, "no progress for 1 s in the connection of the ranks over the replicas. "));
    assert_int_equal(run(does_not_return_later, said, sizeof said), WATCHDOG);
    assert_non_null(strstr(said, "no progress for 1 s in the reduce-scatter of root over the replicas. "));
}

static void test_what_ends_is_left_alone(void **state) {
    (void)state;
    char said[4096];
    assert_int_equal(run(ends, said, sizeof said), 0);
    assert_string_equal(said, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_hang_ends_the_job),
                                       cmocka_unit_test(test_a_failure_ends_the_job),
                                       cmocka_unit_test(test_a_call_that_does_not_return_ends_the_job),
                                       cmocka_unit_test(test_what_ends_is_left_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
