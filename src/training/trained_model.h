/* The model of a checkpoint, for commands that run it:
 *
 *   Session session = {.comm = comm};
 *   status = trained_model_read(checkpoint, &session, &folder);
 *   if (status == OK) status = trained_model_open(folder, device, &runner, &session);
 *   ...
 *   session_close(&session);
 */
#ifndef FLAME_TRAINING_TRAINED_MODEL_H
#define FLAME_TRAINING_TRAINED_MODEL_H

#include "training/session.h"

/* Finds the folder of `checkpoint` (a step, a run's newest step, or a Hugging Face folder) and makes session->model of
 * its config.json. The caller frees *folder, which is NULL if there is none. Collective. */
Status trained_model_read(const char *checkpoint, Session *session, char **folder);

/* Opens the session on the device `device` and loads the folder's weights. Collective. */
Status trained_model_open(const char *folder, const char *device, const RunnerOptions *runner, Session *session);

/* Logs why a loss is not finite: a tensor of the checkpoint whose values are not, or the computation in `type`. Returns
 * the exit code. Collective. */
Status trained_model_not_finite(const Session *session, const char *checkpoint, DType type, double loss);

#endif
