/* The weights that a run begins with, and their model. The config.json beside the weights decides: keys of the model
 * that the configuration leaves out are taken from it, and keys with another value are refused, unless
 * checkpoint.allow_model_changes names them. */
#ifndef FLAME_TRAINING_ORIGIN_H
#define FLAME_TRAINING_ORIGIN_H

#include "config/config.h"
#include "config/key_differences.h"
#include "models/model.h"
#include "parallel/comm.h"

/* Adds the missing keys of config->model from the weights that the run will begin with (its newest checkpoint, or
 * checkpoint.initial_load_path), if there are any. Writes nothing to the disk. BAD_INPUT, IO_ERROR (logged).
 * Collective. */
Status origin_fill_model(TrainConfig *config, Comm *comm);

/* The model of FOLDER/config.json, which rank 0 reads. BAD_INPUT, IO_ERROR (logged). Collective. */
Status origin_read_model(const char *folder, Comm *comm, Model **model);

/* Compares the model with FOLDER/config.json. BAD_INPUT after one message that names each refused key with both values.
 * Adds the allowed differences to `differences` (which may be NULL), as model.KEY. Collective. */
Status origin_check_model(const char *folder, const Model *model, const StringList *allowed, Comm *comm,
                          KeyDifferences *differences);

#endif
