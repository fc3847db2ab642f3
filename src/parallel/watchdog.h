/* Notices collectives that never end: a peer that has died on the same host is not reported to the others, they wait.
 * A thread asks whether what was begun is done; when something is under way and nothing has ended for a while, it names
 * rank, unit and collective, and ends the job with exit code WATCHDOG. */
#ifndef FLAME_PARALLEL_WATCHDOG_H
#define FLAME_PARALLEL_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

enum { WATCHDOG_OPEN = 256 }; /* collectives that may be under way; of more, the older ones are not looked at */

typedef struct Watchdog Watchdog;

typedef struct WatchdogOptions {
    double seconds; /* without any end */
    /* Whether collective number `ticket` has ended. Called from the watchdog's thread. */
    bool (*done)(void *context, int64_t ticket);
    /* What has gone wrong, or NULL. The same. */
    const char *(*failure)(void *context);
    void *context;
    const char *ranks; /* as in Comm */
} WatchdogOptions;

/* The seconds of FLAME_COLLECTIVE_TIMEOUT, by default 300. */
double watchdog_seconds(void);

Watchdog *watchdog_create(WatchdogOptions options);
void watchdog_destroy(Watchdog *watchdog);

/* The number of the collective that is begun next: 0, 1, ... */
int64_t watchdog_next(const Watchdog *watchdog);
/* It has been begun: `collective` ("all-gather") of `subject` ("model.layers.3"). Neither is copied. */
void watchdog_begin(Watchdog *watchdog, const char *collective, const char *subject);

#endif
