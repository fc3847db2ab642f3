/* The step folders of a run: their names, and which there are. */
#ifndef FLAME_CHECKPOINT_CHECKPOINT_STEPS_H
#define FLAME_CHECKPOINT_CHECKPOINT_STEPS_H

#include <stdint.h>

#include "base/check.h"

/* The steps with a complete folder, ascending; the caller frees *steps. Warns about folders of a step's name without
 * state.json. Not collective. */
Status checkpoint_list(const char *folder, int64_t **steps, int64_t *count);
/* The same with those folders and without a word. */
Status checkpoint_list_all(const char *folder, int64_t **steps, int64_t *count);
/* FOLDER/step-%08d in new memory. */
char *checkpoint_path(const char *folder, int64_t step);
/* Renames FOLDER/step-S to step-S.SUFFIX (step-S.SUFFIX-2 and so on if that exists), so that no run loads or removes
 * it. The new path in new memory; NULL after a log_error. */
char *checkpoint_set_aside(const char *folder, int64_t step, const char *suffix);
/* The name of the newest entry that is or was a checkpoint (whole, incomplete or set aside), in new memory; NULL if
 * there is none. */
char *checkpoint_trace(const char *folder);
/* The folder with the weights that `path` means: itself, or the newest step in it or in its folder "checkpoint". In new
 * memory; NULL (logged) if there is none. Not collective. */
char *checkpoint_find(const char *path);

#endif
