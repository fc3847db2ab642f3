/* Watches the ranks of one host, on any device. Each rank notes in memory that they share which collective it is in; a
 * thread of each rank, which calls no MPI, reads what the others have noted:
 *   a rank has died                           the others name it and end at once
 *   ranks wait in a collective for 20 s       one of them names the rank that is missing, its last collective and what
 *                                             it does
 *   nothing moves for comm.train_timeout_seconds   the same as an error, and the job ends with exit code WATCHDOG
 * Ranks of other hosts are not seen. There each host reports its own: where all wait, the missing rank is elsewhere.
 * Time in which the whole job is stopped (SIGSTOP, a suspended virtual machine) does not count. */
#ifndef FLAME_PARALLEL_COMM_WATCH_H
#define FLAME_PARALLEL_COMM_WATCH_H

#include <stdbool.h>
#include <stdint.h>

typedef struct WatchedRanks {
    int rank, size;             /* of this process, over all hosts */
    int local_rank, local_size; /* on this host */
} WatchedRanks;

/* Bytes of the memory that the ranks of a host share: a file of that size, all zero. */
int64_t comm_watch_bytes(int local_size);
/* Adds this rank to the memory `file` (-1: there is none, and this rank watches only itself), which stays the caller's.
 * False if this process is watched already. */
bool comm_watch_join(int file, WatchedRanks ranks);
/* Starts watching, when all ranks of the host have joined. */
void comm_watch_start(void);
/* This rank leaves: the others do not miss it any more. */
void comm_watch_leave(void);

/* This rank enters a collective: `collective` ("all-gather") of `subject` ("model.layers.3", or NULL) among `ranks` (as
 * in Comm). Does nothing in a process that is not watched. */
void comm_watch_enter(const char *collective, const char *subject, const char *ranks);
/* The collective has ended. */
void comm_watch_exit(void);
/* Seconds that this process has spent in collectives so far; 0 if it is not watched. */
double comm_watch_seconds(void);

#endif
