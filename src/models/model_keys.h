/* The keys that weights were trained with beside those that a run is given. */
#ifndef FLAME_MODELS_MODEL_KEYS_H
#define FLAME_MODELS_MODEL_KEYS_H

#include "config/key_differences.h"
#include "models/model.h"

/* Puts what `keys` (a run's `model:`) leave out and `saved` has into them, also inside of `attn`. */
void model_fill_keys(ConfigValue *keys, const ModelConfig *saved);

/* Adds the keys whose values differ in effect: defaults count as if they were written, and widths that are computed
 * from other keys are compared as they came out. Keys of hybrid layers are called attn.KEY. */
void model_compare(const Model *old, const Model *now, KeyDifferences *differences);

/* Whether each name is a key of such a model, as model_compare calls it. BAD_INPUT after one log_error (rank 0) that
 * names `list`, the key that they stand in. */
Status model_check_names(const Model *model, const StringList *names, const char *list);

#endif
