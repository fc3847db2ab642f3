/* Requests to a command to end where its results are whole, or can be removed: Ctrl-C, SIGTERM and SIGHUP. A run that
 * trains has requests of its own (base/signals.h). */
#ifndef FLAME_BASE_INTERRUPTS_H
#define FLAME_BASE_INTERRUPTS_H

#include <stdbool.h>

/* From here on a signal is only noted, SIGHUP unless it is ignored (nohup). The second of a kind ends the process. */
void interrupts_watch(void);
/* Whether one has come; the command then ends as soon as it can, with INTERRUPTED. */
bool interrupts_noted(void);

#endif
