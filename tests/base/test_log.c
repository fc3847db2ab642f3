/* How an error ends the job: from any thread, while something hangs, and when two threads fail at once. Each case runs
 * in a process of its own, as one of several ranks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/log.h"

enum { ABORTED = 50 }; /* exit code of the function that ends all ranks */

static void abort_ranks(int code) { _exit(ABORTED + code); }
static void hang(int code) {
    (void)code;
    for (;;) pause();
}

/* Exit code of a process that does this. */
static int run(void (*body)(void)) {
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        log_set_rank(0, 2);
        log_set_abort(abort_ranks);
        body();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void *end_with(void *code) { log_end_job(*(int *)code); }
static void *fail_a_check(void *unused) {
    CHECK(unused, "this failure is wanted");
    return NULL;
}

static void in_another_thread(void *(*end)(void *), void *argument) {
    pthread_t thread;
    pthread_create(&thread, NULL, end, argument);
    pthread_join(thread, NULL);
}

static void end_here(void) { log_end_job(WATCHDOG); }
static void end_in_another(void) { in_another_thread(end_with, &(int){WATCHDOG}); }
static void fail_in_another(void) { in_another_thread(fail_a_check, NULL); }

static void end_while_aborting_hangs(void) {
    log_set_abort(hang);
    log_end_job(WATCHDOG);
}

static void *end_second(void *unused) {
    (void)unused;
    sleep(1);
    log_error("another thread fails because the job ends");
    log_end_job(IO_ERROR);
}

static void end_twice(void) {
    pthread_t thread;
    log_set_abort(hang);
    pthread_create(&thread, NULL, end_second, NULL);
    log_end_job(WATCHDOG);
}

/* Holds a file's lock, like a thread whose read from storage never returns. */
static void *hold_a_file(void *held) {
    flockfile(stdout);
    atomic_store((atomic_bool *)held, true);
    hang(0);
    return NULL;
}

static void end_while_a_file_is_held(void) {
    static atomic_bool held;
    pthread_t thread;
    pthread_create(&thread, NULL, hold_a_file, &held);
    while (!atomic_load(&held)) sched_yield();
    log_end_job(WATCHDOG);
}

static void test_ranks_are_aborted_only_by_the_thread_that_may(void **state) {
    (void)state;
    assert_int_equal(run(end_here), ABORTED + WATCHDOG);
    assert_int_equal(run(end_in_another), WATCHDOG);
    assert_int_equal(run(fail_in_another), CHECK_FAILED);
}

static void test_a_hang_does_not_keep_the_job_from_its_end(void **state) {
    (void)state;
    assert_int_equal(run(end_while_aborting_hangs), WATCHDOG);
    assert_int_equal(run(end_while_a_file_is_held), WATCHDOG);
}

static void test_the_first_end_counts_and_the_second_is_silent(void **state) {
    (void)state;
    int ends[2];
    char said[256];
    assert_int_equal(pipe(ends), 0);
    const int before = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    const int code = run(end_twice);
    dup2(before, STDERR_FILENO);
    close(ends[1]);
    assert_int_equal(code, WATCHDOG);
    assert_int_equal(read(ends[0], said, sizeof said), 0);
    close(ends[0]);
    close(before);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ranks_are_aborted_only_by_the_thread_that_may),
                                       cmocka_unit_test(test_a_hang_does_not_keep_the_job_from_its_end),
                                       cmocka_unit_test(test_the_first_end_counts_and_the_second_is_silent)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
