/* Where the ranks of one host meet: a barrier in memory that they share. A rank that waits spins for as long as waking
 * it would take, and then sleeps. MPI's barrier never sleeps: beside other work the ranks that wait would hold the
 * processors that the others need to arrive. */
#ifndef FLAME_PARALLEL_COMM_MEETING_H
#define FLAME_PARALLEL_COMM_MEETING_H

#include <stdint.h>

/* In shared memory; all zero at first. */
typedef struct Meeting {
    _Alignas(64) _Atomic uint32_t arrived;
    _Alignas(64) _Atomic uint32_t round; /* how often all ranks have met */
    _Atomic uint32_t sleeping;
} Meeting;

/* Returns when `ranks` ranks have called it. What they wrote before is seen by all after it. */
void meeting_wait(Meeting *meeting, int ranks);

#endif
