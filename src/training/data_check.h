/* Checks that training data, validation data and model fit together, and says how often a run reads its data. */
#ifndef FLAME_TRAINING_DATA_CHECK_H
#define FLAME_TRAINING_DATA_CHECK_H

#include "config/config_value.h"
#include "data/stream.h"
#include "models/model.h"

/* Checks the streams of a run before its first step. BAD_INPUT (logged) if the validation data (NULL: none) come from
 * another tokenizer. Warns if a validation file is also trained on, if an epoch has fewer samples than a step, or if
 * the data's vocabulary is less than half of vocab_size, the model's. */
Status data_check(const Stream *train, const Stream *validation, int64_t vocab_size, int64_t step_samples,
                  int64_t seq_len);

/* Prints on rank 0 how often each of the `files` of a stream is read by `steps` steps, which end before sample
 * `samples`. */
void data_print(const Stream *train, int files, int64_t steps, int64_t samples);

/* Sets the model's bos_token_id and eos_token_id, which checkpoints carry for Hugging Face, to the tokens that begin
 * and end the data's documents. Leaves a key unchanged if the data have no such token. Warns if `given`, the model keys
 * that the user wrote, has another value. */
void data_check_marks(const StreamFacts *facts, const ConfigValue *given, ModelConfig *model);

#endif
