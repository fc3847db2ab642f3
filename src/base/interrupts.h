/* Signals that ask a command to end: Ctrl-C, SIGTERM and SIGHUP. The command ends at a point where its results are
 * complete or can be removed. Training handles its signals itself (base/signals.h). */
#ifndef FLAME_BASE_INTERRUPTS_H
#define FLAME_BASE_INTERRUPTS_H

#include <stdbool.h>

/* From now on these signals are only noted; a second one of the same kind ends the process. SIGHUP stays ignored if it
 * is ignored now (nohup). */
void interrupts_watch(void);
/* Whether a signal has come. The command then ends as soon as it can, with INTERRUPTED. */
bool interrupts_noted(void);

#endif
