/* What stands beside the weights in a Hugging Face folder: config.json, generation_config.json, the tokenizer. */
#ifndef FLAME_CHECKPOINT_HF_FOLDER_H
#define FLAME_CHECKPOINT_HF_FOLDER_H

#include <jansson.h>

#include "checkpoint/safetensors.h"

/* Writes FOLDER/config.json: the JSON `config` with its torch_dtype set to `type`. Adds the CRC of what was written to
 * `state` unless that is NULL. IO_ERROR (logged). */
Status hf_write_config(const char *config, const char *folder, SafeType type, json_t *state);
/* Copies generation_config.json and the tokenizer's files, those that are there. */
Status hf_copy_others(const char *source, const char *folder);

#endif
