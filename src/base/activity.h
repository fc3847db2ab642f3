/* What this process does, for the messages of ranks that wait for it (parallel/comm_watch.h). Any thread may call
 * these.
 */
#ifndef FLAME_BASE_ACTIVITY_H
#define FLAME_BASE_ACTIVITY_H

#include <stdint.h>

/* From now on this process is `doing` something: "reading data". The string is not copied. */
void activity_set(const char *doing);
const char *activity(void);

/* A part of something long is done, for instance a piece of a file: who is slow has not stopped. */
void activity_advance(void);
/* How often that was called. */
int64_t activity_count(void);

#endif
