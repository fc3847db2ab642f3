/* Reads, checks and writes the configuration of a training run. */
#ifndef FLAME_CONFIG_CONFIG_H
#define FLAME_CONFIG_CONFIG_H

#include <stdio.h>

#include "base/check.h"
#include "config/train_config.h"

/* Reads `--config FILE`, then applies the overrides `--section.key=value` or `--section.key value` in order; `argv`
 * begins after the program's name and command. If a key is given twice the last value is used, with a warning. Checks
 * each value by itself; config_validate checks their combination, and the model's builder the keys of `model`. On OK
 * the caller frees *config with config_free. USAGE if the command line is wrong, BAD_INPUT if the file is wrong,
 * IO_ERROR if it cannot be read; each after one log_error. Not collective: the ranks must agree on the status
 * afterwards. */
Status config_load(int argc, char **argv, TrainConfig *config);
/* The same from a tree, such as a checkpoint's config.yaml. The caller keeps the tree. */
Status config_from_value(const ConfigValue *root, TrainConfig *config);
void config_free(TrainConfig *config);
/* The first half of config_load: reads the file given by --OPTION and applies the overrides to it. Keys are not
 * checked. The caller frees *root. */
Status config_read_arguments(int argc, char **argv, const char *option, ConfigValue **root);

/* Sets the device that `auto` has been resolved to, "cpu" or "cuda", and the defaults that depend on it. */
void config_set_device(TrainConfig *config, const char *device);

/* n if backward recomputes every n-th block; 0 if it treats all blocks alike. */
int64_t config_recompute_every(const ActivationCheckpointConfig *config);

/* Checks that the degrees of data parallelism multiply to the number of ranks. BAD_INPUT after one log_error. */
Status config_check_mesh(const TrainingConfig *training, int world_size);
/* Checks what depends on several keys or on the number of ranks. BAD_INPUT after one log_error. */
Status config_validate(const TrainConfig *config, int world_size);
/* The part of config_validate that checks ranks, batches and steps, for commands that need neither data nor a
 * folder. */
Status config_validate_sizes(const TrainConfig *config, int world_size);

/* Writes the effective configuration as YAML that loads to the same configuration. The keys from the file model.config
 * are written inline. */
void config_write(FILE *file, const TrainConfig *config);
/* The same as text. The caller frees it. */
char *config_text(const TrainConfig *config);

/* Prints every key of a section (NULL: of all) with type, default, range and meaning. False if there is no such
 * section.
 */
bool config_help(FILE *file, const char *section);
/* Whether --NAME belongs to config_load: "config", a key (training.steps), or its last part (steps). */
bool config_knows(const char *name);

/* All known keys, and the keys of flame that do not exist here, for errors about unknown keys. */
const KeyHints *config_hints(void);

#endif
