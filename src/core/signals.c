#include "core/signals.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/number.h"

/* One flag per wish, so that a handler only ever stores. */
static volatile sig_atomic_t save_wanted, stop_wanted, interrupts;

/* Async-signal-safe: flags, signal and raise only. */
static void take_signal(int number) {
    save_wanted = 1;
    if (number != SIGUSR2) stop_wanted = 1;
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

void signals_install(void) {
    handle(SIGUSR1, take_signal);
    handle(SIGUSR2, take_signal);
    handle(SIGTERM, take_signal);
    handle(SIGINT, take_signal);
    handle(SIGPIPE, SIG_IGN);
    handle(SIGXFSZ, SIG_IGN);
}

int signals_requested(void) { return (save_wanted ? SIGNAL_SAVE : 0) | (stop_wanted ? SIGNAL_STOP : 0); }

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
