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
    const char *folder;    /* created if missing, with the folders above it */
    const char *run_name;  /* part of temporary names; unique among running jobs: run_lock_name */
    int64_t keep_latest_k; /* keep this many with different weights, and the newest one with a finite loss; 0: all. With
                              1, the old checkpoint is removed only after the new one has been verified */
    int64_t keep_every;    /* also keep steps divisible by this; 0: no such rule */
    bool asynchronous;     /* write in a background thread: from the units, or from a copy of a GPU's memory */
    int64_t max_shard_bytes;         /* largest size of one file; 0: 5 GB */
    const TokenizerFiles *tokenizer; /* files written into every step (rank 0); NULL: none. Borrowed: must outlive the
                                        checkpointer */
} CheckpointOptions;

/* Contents of the small text files. NULL: the file is not written. */
typedef struct CheckpointTexts {
    const char *config_json, *generation_config_json, *config_yaml;
} CheckpointTexts;

typedef struct Checkpointer Checkpointer;

/* Plans the files for `units`, whose shards must stay allocated at the same addresses. Removes the temporary folders of
 * interrupted saves, so the caller must hold the run lock. Warns if the disk has no room for one checkpoint. IO_ERROR
 * (logged) if the folder cannot be written. Collective. */
Status checkpointer_create(Comm *comm, const Unit *units, int count, const CheckpointOptions *options,
                           Checkpointer **result);
/* Waits for a save in progress. NULL is fine. Collective. */
void checkpointer_destroy(Checkpointer *checkpointer);

/* Saves the units as `step`. `state` is a JSON object of scalars (data cursor, counters, ...) that a load returns; the
 * key "step" is added. Its key "updated_step" is the last step that changed the weights (absent: this one); retention
 * counts steps with the same weights once.
 *
 * A synchronous save returns after the folder has its final name. An asynchronous save returns at once, and is finished
 * by checkpoint_poll or checkpoint_wait; the units must not change before checkpoint_finish_reading. If an earlier save
 * is still in progress, it is waited for first; its failure is logged, not returned.
 *
 * A save that fails on any rank fails on all with IO_ERROR: one message names rank, file and reason, the temporary
 * folder is removed, older checkpoints are kept, and training may continue. Collective. */
Status checkpoint_save(Checkpointer *checkpointer, int64_t step, const json_t *state, const CheckpointTexts *texts);
/* Waits until a save in progress no longer reads the units. Call it before they change. Not collective. */
void checkpoint_finish_reading(Checkpointer *checkpointer);
/* Finishes an asynchronous save if all ranks have written their parts; otherwise returns OK at once. Collective. */
Status checkpoint_poll(Checkpointer *checkpointer);
/* Waits for an asynchronous save and finishes it. Collective. */
Status checkpoint_wait(Checkpointer *checkpointer);
/* The last successful save of a checkpointer. */
typedef struct SavedStep {
    int64_t step;   /* -1: none yet */
    int64_t bytes;  /* of weights and moments */
    double seconds; /* from the call of checkpoint_save to the rename */
} SavedStep;
SavedStep checkpoint_saved(const Checkpointer *checkpointer);

/* Loads the newest step of `folder`, or step `load_step` if that is not -1. A damaged or incomplete checkpoint is
 * renamed (checkpoint_set_aside) with a warning, and the one before it is tried. *step is -1 if the folder has no
 * checkpoint or all of them were damaged; the weights are then undefined and the moments zero. A checkpoint that may be
 * sound is never skipped: IO_ERROR if it cannot be read, BAD_INPUT if it cannot be used, for example because it belongs
 * to another model (both logged). *state (`state` may be NULL) receives the object given to checkpoint_save, with
 * "step" and "moments" added; the caller frees it with json_decref. Collective. */
Status checkpoint_resume(const char *folder, int64_t load_step, Comm *comm, Unit *units, int count, int64_t *step,
                         json_t **state);

/* Loads the step folder `path`, regardless of other steps beside it, and renames nothing. Collective. */
Status checkpoint_load(const char *path, Comm *comm, Unit *units, int count, json_t **state);

/* Reads a whole step folder and verifies all CRCs. BAD_INPUT if one differs; every damaged tensor is logged. Not
 * collective. */
Status checkpoint_check(const char *path);

#endif
