#ifndef FLAME_BASE_CLOCK_H
#define FLAME_BASE_CLOCK_H

/* A monotonic clock in seconds. */
double seconds_now(void);

#endif
