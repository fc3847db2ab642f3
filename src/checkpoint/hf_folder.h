/* The small files beside the weights in a Hugging Face folder: config.json, generation_config.json, the tokenizer. */
#ifndef FLAME_CHECKPOINT_HF_FOLDER_H
#define FLAME_CHECKPOINT_HF_FOLDER_H

#include <jansson.h>

#include "checkpoint/safetensors.h"

/* Writes the JSON text `config` to FOLDER/config.json, with torch_dtype and dtype set to `type`. Adds the CRC of the
 * file to `state` unless that is NULL. IO_ERROR (logged) if writing fails. */
Status hf_write_config(const char *config, const char *folder, SafeType type, json_t *state);
/* Copies generation_config.json and the tokenizer's files from `source` to `folder`. Files that `source` lacks are
 * skipped. `from` is the state.json of `source` or NULL; CRCs of the copies are added to `state` unless that is NULL.
 * BAD_INPUT (logged) if a file is not as `from` says, IO_ERROR if copying fails. */
Status hf_copy_others(const char *source, const json_t *from, const char *folder, json_t *state);

#endif
