/* state.json is written last; a folder without it is not a checkpoint. It holds the scalars given to checkpoint_save,
 * and a CRC-32 of every tensor, of every safetensors header, of every small file and of itself. Together these cover
 * every byte of the folder:
 *
 *   {"crc32": "xxxxxxxx",            of this text, with 00000000 in place of the digits
 *    "format_version": 1, "step": ..., "moments": "saved" | "zero", "updated_step": ..., ... further scalars ...,
 *    "files": {"config.json": "xxxxxxxx", "model.safetensors": "xxxxxxxx" (the header only), ...},
 *    "tensors": {"model.norm.weight": "xxxxxxxx", "exp_avg.model.norm.weight": ...}} */
#ifndef FLAME_CHECKPOINT_CHECKPOINT_STATE_H
#define FLAME_CHECKPOINT_CHECKPOINT_STATE_H

#include <jansson.h>
#include <stdbool.h>

#include "checkpoint/safetensors_plan.h"

enum { CHECKPOINT_VERSION = 1 };

/* Adds the CRC of NAME to the object `group`: "files" or "tensors". */
void checkpoint_state_add(json_t *state, const char *group, const char *name, uint32_t crc);
/* Looks up a CRC. False if there is no such entry or it is malformed. */
bool checkpoint_state_find(const json_t *state, const char *group, const char *name, uint32_t *crc);
/* The text of state.json: "crc32" first, then the rest of `state`. The caller frees it. */
char *checkpoint_state_encode(const json_t *state, int64_t *bytes);
/* Reads FOLDER/state.json. BAD_INPUT (logged) if it is missing or damaged, IO_ERROR if the disk failed. */
Status checkpoint_state_read(const char *folder, json_t **state);
/* The same without logging; NULL on any error. */
json_t *checkpoint_state_peek(const char *folder);
/* The last step that changed the weights: the step of the checkpoint itself, unless the last steps before it were
 * skipped. */
int64_t checkpoint_state_updated_step(const json_t *state);
/* BAD_INPUT (logged) if the state is of a version that this program does not know. */
Status checkpoint_state_check_version(const json_t *state, const char *folder);
/* Compares a small file of the folder with its CRC in the state. BAD_INPUT (logged) if it differs or is missing,
 * IO_ERROR if the disk failed. */
Status checkpoint_state_check_file(const json_t *state, const char *folder, const char *name);
/* Whether FOLDER/state.json is undamaged and has the CRC of the small file NAME. Logs nothing. */
bool checkpoint_state_matches(const char *folder, const char *name);

#endif
