/* The safetensors files of a checkpoint, and the parts of them that one rank writes. */
#ifndef FLAME_CHECKPOINT_CHECKPOINT_PARTS_H
#define FLAME_CHECKPOINT_CHECKPOINT_PARTS_H

#include <semaphore.h>

#include "base/crc.h"
#include "checkpoint/safetensors_plan.h"
#include "core/parameter.h"

enum { PLAN_MODEL, PLAN_OPTIMIZER, PLANS };

/* The first error of a save. */
typedef struct Failure {
    int error; /* errno; 0: none */
    char what[512];
} Failure;

/* Notes "DOING PATH: reason" if `error` is the first that is not 0. */
void failure_note(Failure *failure, const char *doing, const char *path, int error);

typedef struct Piece Piece;

/* Tensors and files are counted over both plans: the model's, then the optimizer's. */
typedef struct CheckpointParts {
    SafetensorsPlan plan[PLANS];
    int64_t tensors;
    int files;
    int64_t pieces, capacity;
    Piece *piece;
    char *copy; /* a copy of all pieces, from which they are written; NULL: they are written from the units */
    int64_t copy_bytes;
    CrcPart *written; /* [tensors]: range and CRC of what this rank wrote of each */
} CheckpointParts;

/* Plans the files for `units`, whose shards must stay at the same addresses, with at most max_shard_bytes in one (0: 5
 * GB). `parts` begins as all zero. */
void parts_plan(CheckpointParts *parts, const Unit *units, int count, int64_t max_shard_bytes);
void parts_free(CheckpointParts *parts);

const PlannedTensor *parts_tensor(const CheckpointParts *parts, int64_t index);
const PlannedFile *parts_file(const CheckpointParts *parts, int index);
/* Bytes of all files, over all ranks. */
int64_t parts_bytes(const CheckpointParts *parts);

/* Allocates memory for a copy if the units are not in the host's memory. If there is no copy, the units must not change
 * before they have been read. */
void parts_take_copy(CheckpointParts *parts);
/* Copies the units, if there is memory for a copy. */
void parts_copy(CheckpointParts *parts);

/* Creates every file in `folder`, with its full size and its header. */
void parts_create_files(const CheckpointParts *parts, const char *folder, Failure *failure);
/* Writes and fsyncs this rank's pieces. With sync_all, also fsyncs the files in which it has none. Posts `all_read`, at
 * least once, when the units are no longer read. */
void parts_write(CheckpointParts *parts, const char *folder, bool sync_all, sem_t *all_read, Failure *failure);

#endif
