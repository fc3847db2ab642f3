/* Allows one job at a time in a folder: that of a run, and that of its steps, which links may share with another run.
 * Every rank holds a shared flock on FOLDER/.lock until it exits. A new job waits for ranks of an earlier job that are
 * still exiting, and is refused if they do not. The file names the job that holds the lock. */
#ifndef FLAME_CHECKPOINT_RUN_LOCK_H
#define FLAME_CHECKPOINT_RUN_LOCK_H

#include "parallel/comm.h"

typedef struct RunLock RunLock;

/* Locks the folder, which is created if absent. Waits up to `patience` seconds for ranks of an earlier job. BAD_INPUT
 * if another job has the lock (the message names its host, process and start); IO_ERROR if the folder cannot be
 * written. Collective. */
Status run_lock_acquire(Comm *comm, const char *folder, double patience, RunLock **result);
/* HOST-PROCESS-TIME: the same on all ranks, unique among all jobs. */
const char *run_lock_name(const RunLock *lock);
/* NULL is fine. Not collective. The end of the process also releases the lock. */
void run_lock_release(RunLock *lock);

#endif
