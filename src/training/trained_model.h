/* The model of a checkpoint, for commands that run it:
 *
 *   Session session = {.comm = comm};
 *   status = trained_model_read(checkpoint, &session, &folder);
 *   if (status == OK) status = trained_model_open(folder, device, &runner, "--batch", &session);
 *   ...
 *   session_close(&session);
 */
#ifndef FLAME_TRAINING_TRAINED_MODEL_H
#define FLAME_TRAINING_TRAINED_MODEL_H

#include "text/tokenizer.h"
#include "training/session.h"

/* Finds the folder of `checkpoint` (a step, a run's newest step, or a Hugging Face folder) and makes session->model of
 * its config.json. The caller frees *folder, which is NULL if there is none. Collective. */
Status trained_model_read(const char *checkpoint, Session *session, char **folder);

/* Opens the session on the device `device` and loads the folder's weights. BAD_INPUT (logged) if there is not enough
 * memory: the message names `options`, those of the command line that need less when they are lower. Collective. */
Status trained_model_open(const char *folder, const char *device, const RunnerOptions *runner, const char *options,
                          Session *session);

/* Opens the folder's tokenizer, or that of bytes where there is none and the model's vocabulary is of its size.
 * BAD_INPUT (logged) if there is none else, or if it has more tokens than the model. */
Status trained_model_tokenizer(const char *folder, const Model *model, Tokenizer **tokenizer);
/* What stands before a text's first token: bos_token_id, or the first eos_token_id; -1: the model has neither. */
int64_t trained_model_first_token(const Model *model);

/* Logs why a loss is not finite: a tensor of the checkpoint whose values are not, or the computation in `type`. Returns
 * the exit code. Collective. */
Status trained_model_not_finite(const Session *session, const char *checkpoint, DType type, double loss);

#endif
