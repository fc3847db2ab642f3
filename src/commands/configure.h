/* The configuration of a command that trains, or repeats what a run has trained. */
#ifndef FLAME_COMMANDS_CONFIGURE_H
#define FLAME_COMMANDS_CONFIGURE_H

#include "commands/options.h"
#include "config/config.h"
#include "parallel/comm.h"

/* Reads the configuration, compares it between the ranks, opens its device, and adds keys of the model that the weights
 * bring. On OK the caller frees *config. Collective. */
Status configure(const Texts *keys, Comm *comm, TrainConfig *config, const Device **device);

#endif
