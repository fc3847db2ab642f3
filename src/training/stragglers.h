/* Finds a rank that the others wait for in every step, or a network that all wait for. */
#ifndef FLAME_TRAINING_STRAGGLERS_H
#define FLAME_TRAINING_STRAGGLERS_H

#include <stdbool.h>
#include <stdint.h>

#include "parallel/comm.h"

/* Where a rank's time has gone, in seconds since the last logged step. */
typedef struct StepTimes {
    double reading;    /* data, until it has its samples */
    double collective; /* in collectives on host memory: waiting for other ranks and for the network */
    double computing;  /* the rest; on a GPU this includes its collectives and waiting for other ranks in them */
} StepTimes;

/* What makes steps slow. */
typedef struct Straggler {
    int rank;         /* -1: none */
    const char *part; /* "data" or "computation"; "network" if it is no rank in particular */
    StepTimes its, median;
} Straggler;

/* Finds the straggler in the times of all ranks over `steps` steps. A rank is slow if it reads and computes for 1.5
 * times as long as the median rank and at least 20 ms per step longer. The network is slow, on several hosts, if every
 * rank spends more than half of its time in collectives. `part` is NULL if neither is slow. */
Straggler stragglers_find(const StepTimes *times, int ranks, double steps, bool several_hosts);
/* The same from this rank's times, gathered over all ranks. All ranks get the result. Collective. */
Straggler stragglers_gather(Comm *comm, const StepTimes *times, double steps);
/* "rank 3 is slow, in data: it reads 0.310 s and computes 0.120 s per step, the median rank 0.002 s and 0.118 s". */
void stragglers_say(const Straggler *straggler, double steps, char text[256]);

#endif
