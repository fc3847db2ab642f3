/* Compares what is read from a folder with the checksums in its state.json. `state` NULL: the folder has no state.json,
 * as one from Hugging Face, and nothing is compared. */
#ifndef FLAME_CHECKPOINT_CHECKSUMS_H
#define FLAME_CHECKPOINT_CHECKSUMS_H

#include <jansson.h>

#include "checkpoint/tensor_folder.h"

/* Reads the state.json of a folder; *state is NULL if it has none. BAD_INPUT (logged) if it is damaged or of a newer
 * version. The caller frees *state on failure too. */
Status checksums_state(const char *folder, json_t **state);

/* Reads a small file; *text is NULL if the folder has none. BAD_INPUT (logged) if it is not as the state says. */
Status checksums_read_file(const json_t *state, const char *folder, const char *name, char **text, int64_t *bytes);

/* tensor_folder_open, with the index and the headers of the files compared. BAD_INPUT (logged) if one differs. */
Status checksums_open_tensors(const json_t *state, const char *folder, const char *stem, TensorFolder **tensors);
/* The same for the stem "model". Also reads the folder's own *state, which the caller frees, on failure too, and
 * compares config.json. */
Status checksums_open_weights(const char *folder, json_t **state, TensorFolder **tensors);

/* Compares `crc`, the CRC of all bytes of the tensor `name`. BAD_INPUT if it differs, which is logged if `log` is
 * set. */
Status checksums_check_tensor(const json_t *state, const char *folder, const char *name, uint32_t crc, bool log);

#endif
