/* The names of step folders, and listing them. */
#ifndef FLAME_CHECKPOINT_CHECKPOINT_STEPS_H
#define FLAME_CHECKPOINT_CHECKPOINT_STEPS_H

#include <stdint.h>

#include "base/check.h"

/* The steps whose folder has a state.json, ascending; the caller frees *steps. Warns about the other step folders. No
 * folder: no steps. Not collective. */
Status checkpoint_list(const char *folder, int64_t **steps, int64_t *count);
/* All step folders, with or without state.json; no warnings. */
Status checkpoint_list_all(const char *folder, int64_t **steps, int64_t *count);
/* While a save replaces a step of the same number and neither has the final name, the old one has a temporary name with
 * this suffix. */
#define CHECKPOINT_REPLACED ".replaced"
/* Repairs saves that were interrupted while they replaced a step: gives the final name to the new folder, if it is
 * complete, and otherwise back to the old one. Only for the job that holds the run lock. */
void checkpoint_recover(const char *folder);
/* FOLDER/step-00002048. The caller frees it. */
char *checkpoint_path(const char *folder, int64_t step);
/* FOLDER/step-00002048.tmp-RUN_NAME followed by `suffix`. The caller frees it. */
char *checkpoint_temporary_path(const char *folder, int64_t step, const char *run_name, const char *suffix);
/* 2048 for "FOLDER/step-00002048"; -1 for folders with other names. */
int64_t checkpoint_step(const char *path);
/* Renames FOLDER/step-S to step-S.SUFFIX, or step-S.SUFFIX-2, -3, ... if that name is taken. No run loads or removes
 * such folders. Returns the new path, which the caller frees, or NULL after a log_error. */
char *checkpoint_set_aside(const char *folder, int64_t step, const char *suffix);
/* The last name in the folder that begins with "step-", except temporary ones. It shows that the folder has or had
 * checkpoints, complete, damaged or set aside. The caller frees it. NULL: there is none. */
char *checkpoint_trace(const char *folder);
/* The folder that holds the steps of a run: PATH/checkpoint, or PATH itself if there is no such folder. The caller
 * frees it. */
char *checkpoint_folder(const char *path);
/* Finds weights: `path` itself if it has any, else the newest step of checkpoint_folder. The caller frees the result;
 * NULL (logged) if there is none. Not collective. */
char *checkpoint_find(const char *path);

#endif
