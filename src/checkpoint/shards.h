/* Reads tensors of an open folder into sharded units. Each rank reads its own part. */
#ifndef FLAME_CHECKPOINT_SHARDS_H
#define FLAME_CHECKPOINT_SHARDS_H

#include <jansson.h>

#include "checkpoint/tensor_folder.h"
#include "core/parameter.h"
#include "parallel/comm.h"

typedef enum ShardKind { SHARD_WEIGHTS, SHARD_EXP_AVG, SHARD_EXP_AVG_SQ, SHARD_KINDS } ShardKind;

/* What precedes a parameter's name in the files: "", "exp_avg.", "exp_avg_sq.". */
extern const char *const shard_prefixes[SHARD_KINDS];

/* Reads this rank's shards of all tensors of a kind, converted to fp32, from `tensors`, which passed weights_check.
 * Each tensor is compared with its CRC-32 in `state`, the state.json of the folder `path`, unless `state` is NULL.
 * BAD_INPUT (logged) if one differs, IO_ERROR if one cannot be read. Collective: all ranks return the same status. */
Status shards_read(const TensorFolder *tensors, const json_t *state, const char *path, Comm *comm, Unit *units,
                   int count, ShardKind kind);

#endif
