/* Whether all ranks were given the same: arguments, configuration, program, files. Ranks that differ would train
 * something else than anyone asked for, or wait for each other for ever.
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

/* A list of keys with values, still empty. agreement_end frees it. */
Agreement *agreement_begin(void);
/* Line breaks in the value become spaces. */
void agreement_add(Agreement *agreement, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Every value of a tree, named by its path: training.seed. */
void agreement_add_tree(Agreement *agreement, const ConfigValue *tree);
/* The program: its version, a CRC of its code, and its libraries. */
void agreement_add_build(Agreement *agreement);
/* Size of a file, and a CRC of its beginning and end. */
void agreement_add_file(Agreement *agreement, const char *path);

/* BAD_INPUT on all ranks if one has another list than rank 0: the first key that differs is logged with both values and
 * ranks, and `advice`. Collective. */
Status agreement_end(Agreement *agreement, Comm *comm, const char *advice);

/* What a command begins with: makes the communicator, and compares the program and the command. *comm is NULL unless
 * OK. Collective. */
Status agreement_start(const char *command, Comm **comm);

#endif
