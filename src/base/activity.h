/* What this process is doing, for the messages of ranks that wait for it (parallel/comm_watch.h). Any thread may call
 * these functions. */
#ifndef FLAME_BASE_ACTIVITY_H
#define FLAME_BASE_ACTIVITY_H

#include <stdint.h>

/* Says what this process does from now on: "reading data". The string is not copied and must stay valid. */
void activity_set(const char *doing);
const char *activity(void);

/* Reports that a part of a long activity is done, for instance a piece of a file. So ranks that wait can tell a slow
 * rank from one that has stopped. */
void activity_advance(void);
/* How often activity_advance has been called. */
int64_t activity_count(void);

#endif
