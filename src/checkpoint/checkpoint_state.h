/* state.json: what makes a folder a checkpoint. Besides the driver's scalars it holds a CRC-32 of every tensor, of
 * every safetensors header and of every small file of the folder, and one of itself, so that no byte of a checkpoint
 * can change unseen:
 *
 *   {"crc32": "xxxxxxxx",            of this text with 00000000 in its place
 *    "format_version": 1, "step": ..., "moments": "saved" | "zero", "updated_step": ..., ... the driver's ...,
 *    "files": {"config.json": "xxxxxxxx", "model.safetensors": "xxxxxxxx" (its header), ...},
 *    "tensors": {"model.norm.weight": "xxxxxxxx", "exp_avg.model.norm.weight": ...}} */
#ifndef FLAME_CHECKPOINT_CHECKPOINT_STATE_H
#define FLAME_CHECKPOINT_CHECKPOINT_STATE_H

#include <jansson.h>
#include <stdbool.h>

#include "checkpoint/safetensors_plan.h"

enum { CHECKPOINT_VERSION = 1 };

/* Adds "files"/NAME or "tensors"/NAME. */
void checkpoint_state_add(json_t *state, const char *group, const char *name, uint32_t crc);
/* False if the state has no such entry, or it is not a CRC. */
bool checkpoint_state_find(const json_t *state, const char *group, const char *name, uint32_t *crc);
/* The text of state.json: "crc32" first, then the rest of `state`. The caller frees it. */
char *checkpoint_state_encode(const json_t *state, int64_t *bytes);
/* Reads FOLDER/state.json. BAD_INPUT (logged) if it is missing or damaged, IO_ERROR if the disk failed. */
Status checkpoint_state_read(const char *folder, json_t **state);
/* The same without a message: NULL if it cannot be used. */
json_t *checkpoint_state_peek(const char *folder);
/* The last step that changed the weights: their checkpoint's own, unless the steps before it had no finite gradient. */
int64_t checkpoint_state_updated_step(const json_t *state);
/* BAD_INPUT (logged) if the state is of a version that this program does not know. */
Status checkpoint_state_check_version(const json_t *state, const char *folder);
/* Compares a small file of the folder with its CRC in the state. BAD_INPUT (logged) if it differs or is missing,
 * IO_ERROR if the disk failed. */
Status checkpoint_state_check_file(const json_t *state, const char *folder, const char *name);
/* Whether the small file NAME has the CRC that FOLDER/state.json says, and that file is undamaged. Logs nothing. */
bool checkpoint_state_matches(const char *folder, const char *name);

#endif
