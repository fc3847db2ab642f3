#include "base/signals.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/number.h"

/* One flag per wish, so that a handler only ever stores. */
static volatile sig_atomic_t save_wanted, stop_wanted, now_wanted, interrupts;

/* Async-signal-safe: flags, signal and raise only. */
static void take_signal(int number) {
    save_wanted = 1;
    if (number != SIGUSR2) stop_wanted = 1;
    if (number == SIGTERM || number == SIGINT) now_wanted = 1;
    if (number != SIGINT || ++interrupts < 3) return;
    signal(SIGINT, SIG_DFL);
    raise(SIGINT);
}

static void handle(int number, void (*handler)(int)) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

static const int wishes[] = {SIGUSR1, SIGUSR2, SIGTERM, SIGINT};
enum { WISHES = sizeof wishes / sizeof *wishes };

/* A thread that only takes signals. */
static void *wait_for_signals(void *set) {
    pthread_sigmask(SIG_UNBLOCK, set, NULL);
    for (;;) pause();
    return NULL;
}

/* Generated code of oneDNN keeps values on the stack below what the system leaves alone when it calls a handler: a
 * signal in the middle of a product destroys them. So no thread that computes may be interrupted; threads made later
 * inherit that. */
void signals_install(void) {
    static sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < WISHES; i++) {
        handle(wishes[i], take_signal);
        sigaddset(&set, wishes[i]);
    }
    handle(SIGPIPE, SIG_IGN);
    handle(SIGXFSZ, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wait_for_signals, &set) == 0, "no thread for signals");
    pthread_detach(thread);
}

int signals_requested(void) {
    return (save_wanted ? SIGNAL_SAVE : 0) | (stop_wanted ? SIGNAL_STOP : 0) | (now_wanted ? SIGNAL_NOW : 0);
}

void signals_saved(void) { save_wanted = 0; }

static double monotonic_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

enum { SLURM_MARGIN = 120 }; /* seconds for the last step and its checkpoint */

/* Slurm gives the end as seconds since 1970. */
static double slurm_seconds_left(void) {
    const char *text = getenv("SLURM_JOB_END_TIME");
    int64_t end = 0;
    if (!text || !number_is_integer(text) || !number_to_integer(text, &end) || end <= 0) return INFINITY;
    return difftime((time_t)end, time(NULL)) - SLURM_MARGIN;
}

double time_left(double time_limit) {
    static double start = -1, slurm_limit;
    const double now = monotonic_seconds();
    if (start < 0) {
        start = now;
        slurm_limit = slurm_seconds_left(); /* from here on a clock that is set does no harm */
    }
    return fmin(time_limit > 0 ? time_limit : INFINITY, slurm_limit) - (now - start);
}
