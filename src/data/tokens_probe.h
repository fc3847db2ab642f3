/* Does opening a file end the process? HDF5 1.10 divides by numbers of the file, follows its addresses and goes round
 * its circles, so that some damaged files crash it or keep it busy for ever. */
#ifndef FLAME_DATA_TOKENS_PROBE_H
#define FLAME_DATA_TOKENS_PROBE_H

#include <stdbool.h>
#include <stdint.h>

/* Calls use(argument) in a child process. False if that does not come to its end: it crashes, or takes more processor
 * time than a file of `file_bytes` can need. What it logs is not seen, what it changes is lost. True if no process can
 * be made: nothing is known then. Forking a rank is safe as long as no large message has made the network's library pin
 * the heap: files are opened at the start, and only rank 0 probes them. */
bool tokens_probe(void (*use)(void *argument), void *argument, int64_t file_bytes);

#endif
