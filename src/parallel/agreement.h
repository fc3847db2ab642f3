/* Checks that all ranks have the same arguments, configuration, program and files. Ranks that differ would train a
 * model that nobody configured, or deadlock.
 *
 *   Agreement *a = agreement_begin();
 *   agreement_add(a, "training.seed", "%lld", seed);
 *   status = agreement_end(a, comm, "start all ranks with the same configuration");
 */
#ifndef FLAME_PARALLEL_AGREEMENT_H
#define FLAME_PARALLEL_AGREEMENT_H

#include "config/config_value.h"
#include "parallel/comm.h"

typedef struct Agreement Agreement;

/* Creates an empty list of keys and values. agreement_end frees it. */
Agreement *agreement_begin(void);
/* Adds a key, which occurs once, with a value. */
void agreement_add(Agreement *agreement, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Adds every value of a tree, with its path as the key: training.seed. */
void agreement_add_tree(Agreement *agreement, const ConfigValue *tree);
/* Adds the program's version, a CRC of its code, and the libraries of its matrix products. */
void agreement_add_build(Agreement *agreement);
/* Adds the size of a file and a CRC of its first and last megabyte. */
void agreement_add_file(Agreement *agreement, const char *path);

/* Compares the list of every rank with that of rank 0. BAD_INPUT on all ranks if one differs; the first key that
 * differs is logged with both values, both ranks and `advice`. Collective. */
Status agreement_end(Agreement *agreement, Comm *comm, const char *advice);

/* Creates the communicator of a command and checks that all ranks run the same program and command. *comm is NULL
 * unless OK. Collective. */
Status agreement_start(const char *command, Comm **comm);

#endif
