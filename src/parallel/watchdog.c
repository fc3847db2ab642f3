#include "parallel/watchdog.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/clock.h"

static const double look_every_seconds = 0.25;

typedef struct Begun {
    const char *collective, *subject;
} Begun;

struct Watchdog {
    WatchdogOptions options;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stop;
    bool stopping;
    Begun begun[WATCHDOG_OPEN];
    int64_t first, count; /* collectives [first, count) are in flight */
    Begun call;           /* the call that has not returned */
    double last_end;      /* when the last collective ended, or, after idle time, when the next thing began */
};

/* What has been pending for longest: the oldest collective in flight, or else a call that has not returned. NULL:
 * nothing. */
static const Begun *pending(const Watchdog *w) {
    if (w->first < w->count) return &w->begun[w->first % WATCHDOG_OPEN];
    return w->call.collective ? &w->call : NULL;
}

static void end_job(const Watchdog *w, const WatchdogFailure *failure) {
    const Begun *begun = pending(w);
    if (begun)
        log_error("%s in the %s of %s%s. %s", failure->what, begun->collective, begun->subject, w->options.ranks,
                  failure->advice);
    else
        log_error("%s between collectives. %s", failure->what, failure->advice);
    log_end_job(failure->code);
}

/* Checks for progress. Called with the lock held. */
static void look(Watchdog *w) {
    const double now = seconds_now();
    if (w->count - w->first > WATCHDOG_OPEN) w->first = w->count - WATCHDOG_OPEN;
    if (!pending(w)) w->last_end = now;
    while (w->first < w->count && w->options.done(w->options.context, w->first)) {
        w->first++;
        w->last_end = now;
    }
    WatchdogFailure failure;
    if (w->options.failure(w->options.context, &failure)) end_job(w, &failure);
    if (now - w->last_end <= w->options.seconds) return;
    failure = (WatchdogFailure){
        .advice = "Another rank has died, hangs, or reads its data too slowly; the run goes on from its last "
                  "checkpoint. comm.train_timeout_seconds sets the seconds to wait",
        .code = WATCHDOG};
    snprintf(failure.what, sizeof failure.what, "no progress for %.0f s", w->options.seconds);
    end_job(w, &failure);
}

static void *watch(void *argument) {
    Watchdog *w = argument;
    pthread_mutex_lock(&w->lock);
    while (!w->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += (long)(look_every_seconds * 1e9);
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        if (pthread_cond_timedwait(&w->stop, &w->lock, &until) == ETIMEDOUT) look(w);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* Blocks all signals in the watchdog's thread, because another thread handles them. */
Watchdog *watchdog_create(WatchdogOptions options) {
    Watchdog *w = calloc(1, sizeof *w);
    CHECK_MEMORY(w, "out of memory");
    w->options = options;
    w->last_end = seconds_now();
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_t monotonic; /* the wall clock may be set back */
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->stop, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    CHECK_MEMORY(pthread_create(&w->thread, NULL, watch, w) == 0, "no thread for the watchdog");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return w;
}

void watchdog_destroy(Watchdog *w) {
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->stop);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->stop);
    free(w);
}

int64_t watchdog_next(const Watchdog *w) { return w->count; }

void watchdog_begin(Watchdog *w, const char *collective, const char *subject) {
    pthread_mutex_lock(&w->lock);
    if (!pending(w)) w->last_end = seconds_now();
    w->begun[w->count++ % WATCHDOG_OPEN] = (Begun){collective, subject};
    pthread_mutex_unlock(&w->lock);
}

void watchdog_call(Watchdog *w, const char *call, const char *subject) {
    pthread_mutex_lock(&w->lock);
    if (!pending(w)) w->last_end = seconds_now();
    w->call = (Begun){call, subject};
    pthread_mutex_unlock(&w->lock);
}

void watchdog_returned(Watchdog *w) {
    pthread_mutex_lock(&w->lock);
    w->call = (Begun){NULL, NULL};
    pthread_mutex_unlock(&w->lock);
}
