/* How long the threads of a parallel loop that wait for each other hold their processors. */
#ifndef FLAME_BASE_WAITING_H
#define FLAME_BASE_WAITING_H

/* libgomp's threads spin for about 10 ms before they sleep. Beside other work that starves the thread they wait for: a
 * run can become ten times slower. This limits it to about 0.1 ms, which on a machine of its own is as fast. libgomp
 * takes that from the environment before main: sets GOMP_SPINCOUNT and starts the program again. Does nothing if the
 * user has chosen (OMP_WAIT_POLICY, GOMP_SPINCOUNT, KMP_BLOCKTIME, OMP_NUM_THREADS=1). To be called first. */
void waiting_limit(char **argv);

#endif
