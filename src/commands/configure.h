/* Reads the configuration of a command that trains, or that repeats what a run has trained. */
#ifndef FLAME_COMMANDS_CONFIGURE_H
#define FLAME_COMMANDS_CONFIGURE_H

#include "commands/options.h"
#include "config/config.h"
#include "parallel/comm.h"

/* Checks that all ranks have the same configuration, before anything depends on a key. BAD_INPUT (logged) if they do
 * not. Collective. */
Status configs_agree(const TrainConfig *config, Comm *comm);
/* Reads the configuration, checks that all ranks have the same one, opens its device, and adds the keys of the model
 * that come with the weights. On OK the caller frees *config. Collective. */
Status configure(const Texts *keys, Comm *comm, TrainConfig *config, const Device **device);

#endif
