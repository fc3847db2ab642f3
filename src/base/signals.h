/* What the outside asks of a running job. Open MPI forwards SIGUSR1 and SIGUSR2 to every rank and lets the job go on;
 * after a SIGTERM it leaves two seconds, so that one is best effort. The ranks must agree on what was asked before they
 * act. */
#ifndef FLAME_BASE_SIGNALS_H
#define FLAME_BASE_SIGNALS_H

enum {
    SIGNAL_SAVE = 1, /* write a checkpoint after this step */
    SIGNAL_STOP = 2, /* then end with exit code 0 */
    SIGNAL_NOW = 4   /* without the step that is under way: whoever asked may kill in a second */
};

/* From now on: SIGUSR1, SIGTERM and SIGINT ask for save and stop, the last two at once; SIGUSR2 for save. The same
 * signal twice is as once, but a third SIGINT ends the process. SIGPIPE and SIGXFSZ are ignored: writing then fails
 * with an errno. Signals are taken by a thread of their own, so a request shows a moment later. To be called before
 * other threads are made. */
void signals_install(void);
/* What has been asked and not been answered: bits of the enum above. */
int signals_requested(void);
/* Forgets a request to save, once a checkpoint has been begun for it. A request to stop stays. */
void signals_saved(void);

/* Seconds until the run should save and stop: the nearer of `time_limit` (seconds from the first call; 0: none) and two
 * minutes before Slurm's SLURM_JOB_END_TIME. INFINITY if there is no end. */
double time_left(double time_limit);

#endif
