/* Reads, checks and writes the configuration of a training run. */
#ifndef FLAME_CONFIG_CONFIG_H
#define FLAME_CONFIG_CONFIG_H

#include <stdio.h>

#include "base/check.h"
#include "config/train_config.h"

/* Reads `--config FILE` and the overrides `--section.key=value` or `--section.key value` in order; `argv` begins after
 * the program's name and command. A key that is given twice keeps the last value, and that is said. Checks each value,
 * not how they fit together (config_validate), nor the model's keys (its builder). On OK the caller frees with
 * config_free; else nothing is kept. USAGE for the command line, BAD_INPUT for what a key says, IO_ERROR if a file
 * cannot be read; one log_error, which is printed once where all ranks read the same: the caller lets the ranks agree
 * on the status. */
Status config_load(int argc, char **argv, TrainConfig *config);
/* The same from a tree, which stays the caller's (a checkpoint's config.yaml, tests). */
Status config_from_value(const ConfigValue *root, TrainConfig *config);
void config_free(TrainConfig *config);
/* The first half of config_load: the file that --option names, with the overrides put over it, as one tree, which
 * becomes the caller's. No key is checked. */
Status config_read_arguments(int argc, char **argv, const char *option, ConfigValue **root);

/* Says what `device: auto` came to, cpu or cuda, and sets the keys that follow from it. */
void config_set_device(TrainConfig *config, const char *device);

/* n, if every n-th block is computed again; 0: all blocks alike. */
int64_t config_recompute_every(const ActivationCheckpointConfig *config);

/* Whether the degrees of data parallelism make so many ranks. BAD_INPUT after one log_error. */
Status config_check_mesh(const TrainingConfig *training, int world_size);
/* What only shows when keys are seen together, and with the number of ranks. BAD_INPUT after one log_error. */
Status config_validate(const TrainConfig *config, int world_size);
/* The part of it that is about numbers of ranks, sequences and steps: for what reads no data and writes no folder. */
Status config_validate_sizes(const TrainConfig *config, int world_size);

/* The effective configuration as YAML that loads back to the same one; model.config is written out in place. */
void config_write(FILE *file, const TrainConfig *config);
/* The same in new memory. */
char *config_text(const TrainConfig *config);

/* Every key of a section (NULL: of all) with type, default, range and meaning. False if there is no such section. */
bool config_help(FILE *file, const char *section);
/* Whether config_load has an answer to --name: "config", a key, or the last part of one. */
bool config_knows(const char *name);

/* All known keys of all sections, and flame's keys that have no meaning here, for errors about unknown ones. */
const KeyHints *config_hints(void);

#endif
