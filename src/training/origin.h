/* Where a run's weights come from, and which model they are of. The config.json beside them is the truth: what the run
 * leaves out is taken from it, and what the run says otherwise is refused unless checkpoint.allow_model_changes names
 * it. */
#ifndef FLAME_TRAINING_ORIGIN_H
#define FLAME_TRAINING_ORIGIN_H

#include "config/config.h"
#include "config/key_differences.h"
#include "models/model.h"
#include "parallel/comm.h"

/* Fills config->model from the weights that the run will begin with (its newest checkpoint, or
 * checkpoint.initial_load_path), if there are any. Changes nothing on the disk. BAD_INPUT, IO_ERROR (logged).
 * Collective. */
Status origin_fill_model(TrainConfig *config, Comm *comm);

/* Compares the model with FOLDER/config.json. BAD_INPUT after one message that names each key with both values. Adds
 * what differs and is allowed to `differences` (may be NULL), as model.KEY. Collective. */
Status origin_check_model(const char *folder, const Model *model, const StringList *allowed, Comm *comm,
                          KeyDifferences *differences);

#endif
