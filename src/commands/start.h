/* The start of a command that runs under mpirun. */
#ifndef FLAME_COMMANDS_START_H
#define FLAME_COMMANDS_START_H

#include "commands/options.h"
#include "parallel/comm.h"

/* Creates the communicator of all ranks and checks that they run the same program and command, with the same options.
 * `values` is the struct of the command's options; the keys of a configuration are compared by configs_agree. On any
 * other status than OK (logged) *comm is NULL. Collective. */
Status command_start(const Command *command, const void *values, Comm **comm);

#endif
