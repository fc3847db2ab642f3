/* Detects collectives that hang, for instance because a rank has died and the others would wait for ever. A thread
 * polls the collectives in flight. If none completes for a while, or a call on the host does not return, it logs the
 * rank, unit and collective and ends the job with exit code WATCHDOG. */
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
    Status code;        /* exit code of the process */
} WatchdogFailure;

typedef struct WatchdogOptions {
    double seconds; /* the longest time without a completion */
    /* Whether collective number `ticket` has completed. Called from the watchdog's thread. */
    bool (*done)(void *context, int64_t ticket);
    /* Whether the communicator or the GPU has failed; *failure then says how. Called from the watchdog's thread, after
     * `done`. */
    bool (*failure)(void *context, WatchdogFailure *failure);
    void *context;
    const char *ranks; /* see Comm */
} WatchdogOptions;

Watchdog *watchdog_create(WatchdogOptions options);
void watchdog_destroy(Watchdog *watchdog);

/* The ticket of the next collective: 0, 1, ... */
int64_t watchdog_next(const Watchdog *watchdog);
/* Says that the next collective has been launched: `collective` ("all-gather") of `subject` ("model.layers.3"). The
 * strings are not copied. */
void watchdog_begin(Watchdog *watchdog, const char *collective, const char *subject);

/* Says that a call that may block is about to be made: "connection" of "the ranks". The strings are not copied. There
 * can be one such call at a time. */
void watchdog_call(Watchdog *watchdog, const char *call, const char *subject);
/* Says that the call has returned. */
void watchdog_returned(Watchdog *watchdog);

#endif
