/* How long threads of a parallel loop that wait for each other keep their processors busy. */
#ifndef FLAME_BASE_WAITING_H
#define FLAME_BASE_WAITING_H

/* libgomp's threads spin for about 10 ms before they sleep. On a machine with other work, spinning starves the thread
 * they wait for, and a run can become ten times slower. This function limits spinning to about 0.1 ms, which is as fast
 * on a machine without other work. libgomp reads the limit from the environment before main, so the function sets
 * GOMP_SPINCOUNT and starts the program again. It does nothing if the user has chosen (OMP_WAIT_POLICY, GOMP_SPINCOUNT,
 * KMP_BLOCKTIME, OMP_NUM_THREADS=1). Call it at the start of the program. */
void waiting_limit(char **argv);

#endif
