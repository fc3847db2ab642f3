/* Detects collectives that hang, for instance because a rank on the same host has died: the others would wait for ever.
 * A thread polls the collectives in flight. If none completes for a while, or a call on the host does not return, it
 * names rank, unit and collective and ends the job with exit code WATCHDOG. */
#ifndef FLAME_PARALLEL_WATCHDOG_H
#define FLAME_PARALLEL_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"

enum { WATCHDOG_OPEN = 256 }; /* collectives in flight; if there are more, the oldest are not watched */

typedef struct Watchdog Watchdog;

typedef struct WatchdogFailure {
    char what[512];
    const char *advice; /* sentences without the last full stop */
    Status code;        /* of the process */
} WatchdogFailure;

typedef struct WatchdogOptions {
    double seconds; /* without a completion */
    /* Whether collective number `ticket` has completed. Called from the watchdog's thread. */
    bool (*done)(void *context, int64_t ticket);
    /* Whether the communicator or the GPU has failed, and then how. Called from the watchdog's thread, after `done`. */
    bool (*failure)(void *context, WatchdogFailure *failure);
    void *context;
    const char *ranks; /* as in Comm */
} WatchdogOptions;

Watchdog *watchdog_create(WatchdogOptions options);
void watchdog_destroy(Watchdog *watchdog);

/* The ticket of the next collective: 0, 1, ... */
int64_t watchdog_next(const Watchdog *watchdog);
/* The next collective has been launched: `collective` ("all-gather") of `subject` ("model.layers.3"). The strings are
 * not copied. */
void watchdog_begin(Watchdog *watchdog, const char *collective, const char *subject);

/* A call that may block is about to be made: "connection" of "the ranks". The strings are not copied. One at a time. */
void watchdog_call(Watchdog *watchdog, const char *call, const char *subject);
/* The call has returned. */
void watchdog_returned(Watchdog *watchdog);

#endif
