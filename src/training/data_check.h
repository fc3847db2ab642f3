/* What data and model must agree on, and what of it a user wants to know. */
#ifndef FLAME_TRAINING_DATA_CHECK_H
#define FLAME_TRAINING_DATA_CHECK_H

#include "config/config_value.h"
#include "data/stream.h"
#include "models/model.h"

/* Compares the streams of a run before its first step. BAD_INPUT (logged) if the validation data (NULL: none) were made
 * by another tokenizer; a warning if they hold a file that is trained on, or if an epoch has fewer samples than a step
 * takes. */
Status data_check(const Stream *train, const Stream *validation, int64_t step_samples, int64_t seq_len);

/* The data's marks of a document's beginning and end become the model's bos_token_id and eos_token_id, which
 * checkpoints say to Hugging Face. A mark that the data do not have changes nothing. Warns of one that differs from a
 * key in `given`, the keys that the user wrote. */
void data_check_marks(const StreamFacts *facts, const ConfigValue *given, ModelConfig *model);

#endif
