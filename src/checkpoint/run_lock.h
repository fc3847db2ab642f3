/* One job at a time on a folder. Every rank holds a shared lock on FOLDER/.lock for its whole life, so that a job that
 * starts while ranks of an earlier one are still dying waits for them, and then refuses. The file says who holds it. */
#ifndef FLAME_CHECKPOINT_RUN_LOCK_H
#define FLAME_CHECKPOINT_RUN_LOCK_H

#include "parallel/comm.h"

typedef struct RunLock RunLock;

/* Takes the folder (created if absent) for this job. Waits up to `patience` seconds for ranks of an earlier job.
 * BAD_INPUT (logged: host, process and start of the holder) if another job has it; IO_ERROR if the folder cannot be
 * written. Collective. */
Status run_lock_acquire(Comm *comm, const char *folder, double patience, RunLock **result);
/* Unique among all runs on this folder: host, process, time. The same on all ranks. */
const char *run_lock_name(const RunLock *lock);
/* NULL is fine. Not collective; the process's end does it too. */
void run_lock_release(RunLock *lock);

#endif
