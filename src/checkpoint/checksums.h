/* Compares what is read of a folder with the checksums in the state.json beside it. `state` NULL: the folder has none,
 * as one from Hugging Face, and nothing is compared. */
#ifndef FLAME_CHECKPOINT_CHECKSUMS_H
#define FLAME_CHECKPOINT_CHECKSUMS_H

#include <jansson.h>

#include "checkpoint/tensor_folder.h"

/* tensor_folder_open, with the index and the headers of the files compared. BAD_INPUT (logged) if one differs. */
Status checksums_open_tensors(const json_t *state, const char *folder, const char *stem, TensorFolder **tensors);
/* The same for "model", with the folder's own *state, which the caller frees on failure too, and with config.json
 * compared. */
Status checksums_open_weights(const char *folder, json_t **state, TensorFolder **tensors);

/* Compares the CRC of all bytes of the tensor NAME. BAD_INPUT if it differs, logged if `log`. */
Status checksums_check_tensor(const json_t *state, const char *folder, const char *name, uint32_t crc, bool log);

#endif
