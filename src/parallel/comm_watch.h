/* Watches the ranks of one host, on any device. Each rank notes in memory that they share which collective it is in; a
 * thread of each rank, which calls no MPI, reads what the others have noted:
 *   a rank has died                           the others name it and end at once
 *   ranks wait in a collective for 20 s       one of them names the rank that is missing, its last collective and what
 *                                             it does
 *   nothing moves for comm.train_timeout_seconds   the same as an error, and the job ends with exit code WATCHDOG
 * Ranks of other hosts are not seen; each host reports its own. If all ranks of a host wait, the missing rank is on
 * another host. Time in which the whole job is stopped (SIGSTOP, a suspended virtual machine) does not count. */
#ifndef FLAME_PARALLEL_COMM_WATCH_H
#define FLAME_PARALLEL_COMM_WATCH_H

#include <stdbool.h>
#include <stdint.h>

typedef struct WatchedRanks {
    int rank, size;             /* of this process, over all hosts */
    int local_rank, local_size; /* on this host */
} WatchedRanks;

/* Size of the file that the ranks of a host share, in bytes. It must be all zero at first. */
int64_t comm_watch_bytes(int local_size);
/* Adds this rank to the shared memory in `file`, a descriptor that the caller keeps owning. -1: there is none, and this
 * rank watches only itself. False if this process is being watched already. */
bool comm_watch_join(int file, WatchedRanks ranks);
/* Starts watching. Call it when all ranks of the host have joined. */
void comm_watch_start(void);
/* Stops watching. The other ranks no longer treat this rank's end as a failure. */
void comm_watch_leave(void);

/* Notes that this rank enters a collective: `collective` ("all-gather") of `subject` ("model.layers.3", or NULL) over
 * `ranks` (as in Comm). Does nothing in a process that is not watched. */
void comm_watch_enter(const char *collective, const char *subject, const char *ranks);
/* Notes that the collective has ended. */
void comm_watch_exit(void);
/* Seconds that this process has spent in collectives so far; 0 if it is not watched. */
double comm_watch_seconds(void);

#endif
