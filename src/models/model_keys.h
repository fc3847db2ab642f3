/* Compares the model keys of a run with those that its weights were trained with. */
#ifndef FLAME_MODELS_MODEL_KEYS_H
#define FLAME_MODELS_MODEL_KEYS_H

#include "config/key_differences.h"
#include "models/model.h"

/* Adds to `keys` (the `model:` section of a run's configuration) those keys of `saved` that it lacks, including those
 * inside `attn`. */
void model_fill_keys(ConfigValue *keys, const ModelConfig *saved);

/* Adds to `differences` the keys whose values differ. A missing key has its default. The width of the MLP is compared
 * as intermediate_size, even where hidden_ratio decided it. Keys of hybrid layers are named attn.KEY. */
void model_compare(const Model *old, const Model *now, KeyDifferences *differences);

/* Checks that each name is a key of the model, spelled as in model_compare. If not, logs one error (on rank 0), which
 * names `list`, the configuration key that holds the names, and returns BAD_INPUT. */
Status model_check_names(const Model *model, const StringList *names, const char *list);

#endif
