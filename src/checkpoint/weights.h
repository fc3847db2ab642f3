/* Loads the weights of a Hugging Face folder into sharded units. */
#ifndef FLAME_CHECKPOINT_WEIGHTS_H
#define FLAME_CHECKPOINT_WEIGHTS_H

#include "core/parameter.h"
#include "parallel/comm.h"
#include "checkpoint/tensor_folder.h"

/* Compares the names and shapes of an open folder with the units' parameters. `prefix` precedes each parameter's name
 * in the file ("" or "exp_avg."). A tied head may be in the folder as lm_head.weight too, if it equals the embeddings
 * bit for bit. BAD_INPUT after one message with the first few names of missing and unexpected tensors, or with the
 * first tensor that has another shape. */
Status weights_check(const TensorFolder *folder, const char *path, const char *prefix, const Unit *units, int count);

/* The tensors of a folder that passed weights_check, in the order of the units' parameters. The caller frees the list.
 */
const SafeTensor **weights_list(const TensorFolder *folder, const Unit *units, int count, int64_t *tensors);

/* Reads this rank's shards of all parameters from `path`/model*.safetensors into master, converted to fp32, and sets
 * the moments to zero. BAD_INPUT (logged) if they differ from what a state.json beside them says. Collective: all ranks
 * return the same status. */
Status weights_load(const char *path, Comm *comm, Unit *units, int count);

/* The first parameter with a NaN or infinite value in this rank's shards, or NULL. */
const Parameter *weights_not_finite(const Unit *units, int count);

/* A hash of the weights. It changes if any weight changes, and depends neither on the number of ranks nor on the type
 * in the file. Collective. */
uint64_t weights_fingerprint(Comm *comm, const Unit *units, int count);

/* Sets the moments to zero; units without moments are left alone. */
void weights_zero_moments(Unit *units, int count);

#endif
