/* A barrier for the ranks of one host, in memory that they share. A rank that waits first spins for about as long as
 * waking it would take, and then sleeps. MPI's barrier never sleeps, so on a busy machine waiting ranks would occupy
 * the processors that the others need to arrive. */
#ifndef FLAME_PARALLEL_COMM_MEETING_H
#define FLAME_PARALLEL_COMM_MEETING_H

#include <stdint.h>

/* The state of the barrier, in shared memory. It starts all zero. */
typedef struct Meeting {
    _Alignas(64) _Atomic uint32_t arrived;
    _Alignas(64) _Atomic uint32_t round; /* how often all ranks have met */
    _Atomic uint32_t sleeping;
} Meeting;

/* Returns when `ranks` ranks have called it. All of them then see what the others wrote before they called it. */
void meeting_wait(Meeting *meeting, int ranks);

#endif
