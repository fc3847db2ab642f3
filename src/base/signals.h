/* Requests to a running job, sent as signals. Open MPI forwards SIGUSR1 and SIGUSR2 to every rank and keeps the job
 * running. After SIGTERM it kills the ranks within two seconds, so saving then is best effort. Signals reach the ranks
 * at different times, so the ranks must agree on a request before they act on it. */
#ifndef FLAME_BASE_SIGNALS_H
#define FLAME_BASE_SIGNALS_H

enum {
    SIGNAL_SAVE = 1, /* save a checkpoint after the current step */
    SIGNAL_STOP = 2, /* save, then end with exit code 0 */
    SIGNAL_NOW = 4   /* abandon the current step, because SIGKILL may follow within a second */
};

/* From now on a write beyond the limit on the size of files fails with EFBIG, as a write to a full disk fails with
 * ENOSPC. Without this, SIGXFSZ would end the process. Call it at the start of the program. */
void signals_ignore_size_limit(void);

/* Installs the handlers:
 *   SIGUSR1           save and stop
 *   SIGUSR2           save
 *   SIGTERM, SIGINT   save and stop now; the third SIGINT ends the process
 *   SIGHUP            likewise, unless it is ignored (nohup)
 *   SIGPIPE           ignored, so that writing fails with an errno
 * A separate thread receives the signals, so a request becomes visible with a short delay. Must be called before other
 * threads are created. A rank without peers also saves and stops when its mpirun has died. */
void signals_install(void);
/* Holds these signals back until signals_install, even across an exec, because they would end a process that has no
 * handlers yet. */
void signals_block(void);
/* The pending requests: bits of the enum above. */
int signals_requested(void);
/* Clears SIGNAL_SAVE, after a checkpoint was begun. The other requests remain. */
void signals_saved(void);

/* Seconds until the run should save and stop: at `time_limit` seconds after the first call (0: no limit), or two
 * minutes before Slurm's SLURM_JOB_END_TIME, whichever is earlier. INFINITY if there is neither. */
double time_left(double time_limit);

#endif
