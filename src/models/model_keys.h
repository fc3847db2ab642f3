/* Compares the model keys of a run with those that its weights were trained with. */
#ifndef FLAME_MODELS_MODEL_KEYS_H
#define FLAME_MODELS_MODEL_KEYS_H

#include "config/key_differences.h"
#include "models/model.h"

/* Adds to `keys` (the `model:` section of a run) the keys of `saved` that it lacks, including those inside `attn`. */
void model_fill_keys(ConfigValue *keys, const ModelConfig *saved);

/* Adds to `differences` the keys whose effective values differ. Missing keys count with their defaults, and widths are
 * compared as numbers, whichever key decided them. Keys of hybrid layers are named attn.KEY. */
void model_compare(const Model *old, const Model *now, KeyDifferences *differences);

/* Checks that each name is a key of the model, in the spelling of model_compare. Returns BAD_INPUT after one log_error
 * (rank 0) that names `list`, the configuration key that holds the names. */
Status model_check_names(const Model *model, const StringList *names, const char *list);

#endif
