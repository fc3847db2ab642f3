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

/* Finds the folder of `checkpoint` (a step, a run, of which the newest step is taken, or a Hugging Face folder) and
 * builds session->model from its config.json. The caller frees *folder, which is NULL if there is none. Collective. */
Status trained_model_read(const char *checkpoint, Session *session, char **folder);

/* Opens the session on the device `device` and loads the folder's weights. BAD_INPUT (logged) if there is not enough
 * memory. The message then names `options`, the options of the command line that need less memory when they are lower.
 * Collective. */
Status trained_model_open(const char *folder, const char *device, const RunnerOptions *runner, const char *options,
                          Session *session);

/* Opens the folder's tokenizer, or the built-in one if there is none and the model's vocabulary has its size. BAD_INPUT
 * (logged) if neither is possible, or if the tokenizer has more tokens than the model. */
Status trained_model_tokenizer(const char *folder, const Model *model, Tokenizer **tokenizer);
/* The token that is put before a text's first token: bos_token_id, or else the first eos_token_id; -1 if the model has
 * neither. */
int64_t trained_model_first_token(const Model *model);

/* Logs why a loss is not finite: because a tensor of the checkpoint has values that are not, or because of the
 * computation in `type`. Returns the exit code. Collective. */
Status trained_model_not_finite(const Session *session, const char *checkpoint, DType type, double loss);

#endif
