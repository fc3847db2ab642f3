/* Checkpoints of a sharded training state: folders that Hugging Face loads and that any number of ranks resumes from.
 *
 *   FOLDER/step-00002048/
 *     config.json generation_config.json            what the model is
 *     model.safetensors                             fp32 master weights (or shards and model.safetensors.index.json)
 *     optimizer.safetensors                         exp_avg.NAME, exp_avg_sq.NAME (or shards and an index)
 *     state.json                                    step, the driver's scalars, CRC-32 of every tensor and file
 *     config.yaml                                   the effective configuration
 *
 * Every rank writes and reads its own byte ranges of the one consolidated copy. A folder is written under the name
 * step-00002048.tmp-RUN, made durable, and renamed last: a folder with its final name is always complete. docs/
 * checkpoint-format.md has the details. */
#ifndef FLAME_CHECKPOINT_CHECKPOINT_H
#define FLAME_CHECKPOINT_CHECKPOINT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "checkpoint/checkpoint_steps.h"
#include "core/parameter.h"
#include "checkpoint/tokenizer_files.h"
#include "parallel/comm.h"

typedef struct CheckpointOptions {
    const char *folder;      /* created with the folders above it */
    const char *run_name;    /* run_lock_name: no two running jobs have the same */
    int64_t keep_latest_k;   /* of different weights, and the newest with a finite loss; 0: all. 1: the older one goes
                                only after the new one was read back and found good */
    int64_t keep_every;      /* steps divisible by it are kept besides; 0: none */
    bool asynchronous;       /* copy the shards aside and write them in the background */
    int64_t max_shard_bytes; /* of one file; 0: 5 GB */
    const TokenizerFiles *tokenizer; /* written into every step; the caller's, as long as the checkpointer lives; NULL:
                                        none. Rank 0 */
} CheckpointOptions;

/* What goes into the files of these names as it is; NULL leaves the file out. */
typedef struct CheckpointTexts {
    const char *config_json, *generation_config_json, *config_yaml;
} CheckpointTexts;

typedef struct Checkpointer Checkpointer;

/* Prepares saving `units` (their shards must exist and stay where they are). Removes temporary folders that earlier
 * runs left: the caller must hold the run lock. Warns if the disk has no room for one checkpoint. Ignores SIGXFSZ from
 * here on: a file that grows too large is then an error of that save. IO_ERROR (logged) if the folder cannot be
 * written. Collective. */
Status checkpointer_create(Comm *comm, const Unit *units, int count, const CheckpointOptions *options,
                           Checkpointer **result);
/* Waits for a save in progress. NULL is fine. Collective. */
void checkpointer_destroy(Checkpointer *checkpointer);

/* Saves the units as `step`. `state` is an object of scalars (cursor, seeds, ...) that a load hands back; the key
 * "step" is added. Its key "updated_step" is the last step that changed the weights (absent: this one): retention
 * counts steps with the same weights once. Synchronous: returns when the folder is there. Asynchronous: returns when
 * the shards are copied; poll or wait finishes it; an earlier save still in progress is waited for first (its failure
 * is logged, not returned). A save that fails on any rank fails on all: one message names rank, file and reason, the
 * temporary folder goes, older checkpoints stay, IO_ERROR is returned, and training may go on. Collective. */
Status checkpoint_save(Checkpointer *checkpointer, int64_t step, const json_t *state, const CheckpointTexts *texts);
/* Finishes an asynchronous save if all ranks have written their parts. OK if nothing is in progress or it goes on. */
Status checkpoint_poll(Checkpointer *checkpointer);
/* Finishes an asynchronous save, however long it takes. */
Status checkpoint_wait(Checkpointer *checkpointer);
/* The newest save of this run: `bytes` of weights and moments had their final name `seconds` after checkpoint_save was
 * called (an asynchronous one: when the poll or wait that finished it returned). */
typedef struct SavedStep {
    int64_t step; /* -1: there is none */
    int64_t bytes;
    double seconds;
} SavedStep;
SavedStep checkpoint_saved(const Checkpointer *checkpointer);

/* Loads one step folder into the units' shards (weights, and the moments unless `weights_only`). Every byte is compared
 * with its CRC. *state (may be NULL) is the driver's object, "step" and "moments" included; the caller frees it with
 * json_decref. BAD_INPUT (logged: which file, which tensor) if it is damaged or of another model. Collective. */
Status checkpoint_load(const char *path, Comm *comm, Unit *units, int count, bool weights_only, json_t **state);

/* Loads the newest step of `folder`, or step `load_step` if that is not -1. A damaged or incomplete checkpoint is
 * renamed (checkpoint_set_aside) with a warning, and the one before it is tried. *step is -1 if the folder has no
 * checkpoint or all of them were damaged; the weights are then undefined and the moments zero. A checkpoint that may be
 * sound is never skipped: IO_ERROR if it cannot be read, BAD_INPUT if it cannot be used, for example because it is
 * another model's (logged). Collective. */
Status checkpoint_resume(const char *folder, int64_t load_step, Comm *comm, Unit *units, int count, int64_t *step,
                         json_t **state);

/* Compares every byte of a step folder with its CRC. BAD_INPUT (logged) if one differs. Not collective. */
Status checkpoint_check(const char *path);
/* state.json of a step folder, checked against its own CRC. BAD_INPUT is logged. Not collective. */
Status checkpoint_state(const char *path, json_t **state);

#endif
