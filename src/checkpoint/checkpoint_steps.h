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
/* The folder with the weights that `path` means: itself, or the newest step in it or in its folder "checkpoint". In new
 * memory; NULL (logged) if there is none. Not collective. */
char *checkpoint_find(const char *path);

#endif
