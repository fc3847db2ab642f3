/* Requests to stop or save by signals. Each case runs in a process of its own, since such a request is permanent. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/device.h"
#include "base/signals.h"

/* The exit status of a child that runs `body`, or 128 + the signal that killed it. */
static int in_child(int (*body)(void)) {
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) _exit(body());
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void pause_milliseconds(long milliseconds) {
    nanosleep(&(struct timespec){milliseconds / 1000, milliseconds % 1000 * 1000000}, NULL);
}

/* Sends a signal and waits until it has been taken, or for ten seconds. */
static void send(int number, int wanted) {
    kill(getpid(), number);
    for (int tries = 0; tries < 1000 && (signals_requested() & wanted) != wanted; tries++) pause_milliseconds(10);
}

static int usr1(void) {
    signals_install();
    if (signals_requested() != 0) return 100;
    send(SIGUSR1, SIGNAL_SAVE | SIGNAL_STOP);
    send(SIGUSR1, SIGNAL_SAVE | SIGNAL_STOP);
    return signals_requested();
}

static int usr2_is_answered(void) {
    signals_install();
    send(SIGUSR2, SIGNAL_SAVE);
    if (signals_requested() != SIGNAL_SAVE) return 100;
    signals_saved();
    return signals_requested();
}

static int stop_stays(void) {
    signals_install();
    send(SIGTERM, SIGNAL_SAVE | SIGNAL_STOP | SIGNAL_NOW);
    signals_saved();
    return signals_requested();
}

static int two_interrupts(void) {
    signals_install();
    send(SIGINT, SIGNAL_STOP);
    send(SIGINT, SIGNAL_STOP);
    pause_milliseconds(100);
    return signals_requested();
}

static int three_interrupts(void) {
    signals_install();
    for (int i = 0; i < 1000; i++) {
        kill(getpid(), SIGINT);
        pause_milliseconds(10);
    }
    return 0;
}

/* Sends signals at intervals for as long as the parent lives. */
static void rain_on(pid_t parent) {
    while (getppid() == parent && kill(parent, SIGUSR2) == 0) usleep(200);
    _exit(0);
}

/* Matrix products during many signals have the same bits as without signals. */
static int computing(void) {
    enum { N = 384, BYTES = N * N * (int)sizeof(float), PRODUCTS = 100 };
    const Device *cpu = device_cpu();
    float *memory = cpu->allocate(4 * BYTES), *expected = memory + 3 * N * N;
    for (int i = 0; i < 2 * N * N; i++) memory[i] = (float)(i % 13) - 6;
    const Gemm product = {.m = N,
                          .n = N,
                          .k = N,
                          .a = memory,
                          .b = memory + N * N,
                          .c = memory + 2 * N * N,
                          .lda = N,
                          .ldb = N,
                          .ldc = N,
                          .type = F32,
                          .c_type = F32};
    signals_install();
    cpu->gemm(&product);
    memcpy(expected, product.c, BYTES);
    const pid_t parent = getpid(), rain = fork();
    if (rain == 0) rain_on(parent);
    int wrong = 0;
    for (int i = 0; i < PRODUCTS; i++) {
        memset(product.c, 0xff, BYTES);
        cpu->gemm(&product);
        wrong += memcmp(product.c, expected, BYTES) != 0;
    }
    kill(rain, SIGKILL);
    return wrong > 0 || signals_requested() != SIGNAL_SAVE;
}

static int broken_pipe(void) {
    int ends[2];
    signals_install();
    if (pipe(ends) != 0) return 100;
    close(ends[0]);
    return write(ends[1], "x", 1) == -1 ? 0 : 100;
}

static void test_requests(void **state) {
    (void)state;
    assert_int_equal(in_child(usr1), SIGNAL_SAVE | SIGNAL_STOP);
    assert_int_equal(in_child(usr2_is_answered), 0);
    assert_int_equal(in_child(stop_stays), SIGNAL_STOP | SIGNAL_NOW);
    assert_int_equal(in_child(two_interrupts), SIGNAL_SAVE | SIGNAL_STOP | SIGNAL_NOW);
    assert_int_equal(in_child(three_interrupts), 128 + SIGINT);
    assert_int_equal(in_child(broken_pipe), 0);
    assert_int_equal(in_child(computing), 0);
}

static int no_limit(void) {
    unsetenv("SLURM_JOB_END_TIME");
    return time_left(0) == INFINITY ? 0 : 1;
}

static int own_limit(void) {
    unsetenv("SLURM_JOB_END_TIME");
    const double first = time_left(1000), second = time_left(1000);
    return first <= 1000 && first > 900 && second <= first ? 0 : 1;
}

static int slurm_limit(void) {
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)time(NULL) + 500);
    setenv("SLURM_JOB_END_TIME", text, 1);
    const double left = time_left(0);
    return left > 280 && left <= 381 && time_left(100) <= 100 ? 0 : 1;
}

static int slurm_nonsense(void) {
    setenv("SLURM_JOB_END_TIME", "Unknown", 1);
    return time_left(0) == INFINITY ? 0 : 1;
}

static void test_time_left(void **state) {
    (void)state;
    assert_int_equal(in_child(no_limit), 0);
    assert_int_equal(in_child(own_limit), 0);
    assert_int_equal(in_child(slurm_limit), 0);
    assert_int_equal(in_child(slurm_nonsense), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_requests), cmocka_unit_test(test_time_left)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
