/* Tests in a child process whether opening a damaged file crashes or hangs HDF5. HDF5 1.10 divides by numbers from the
 * file and follows addresses in it without checking them. */
#ifndef FLAME_DATA_TOKENS_PROBE_H
#define FLAME_DATA_TOKENS_PROBE_H

#include <stdbool.h>
#include <stdint.h>

/* Calls use(argument) in a child process. False if it crashes or exceeds a limit of processor time, which depends on
 * `file_bytes`. The child's output and its changes of memory are discarded. True also if nothing is known: if fork
 * fails, if signals that ask a program to end keep ending the child, or if the child sleeps for too long (because
 * another thread held a lock at the fork, or a disk does not answer). Forking an MPI rank is safe before the network's
 * library pins pages of the heap, that is before large messages are sent: files are opened at the start, and only rank
 * 0 probes them. */
bool tokens_probe(void (*use)(void *argument), void *argument, int64_t file_bytes);

#endif
