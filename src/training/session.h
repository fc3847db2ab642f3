/* A model on its ranks: what every command that runs a model opens first and closes last. */
#ifndef FLAME_TRAINING_SESSION_H
#define FLAME_TRAINING_SESSION_H

#include "training/runner.h"

typedef struct Session {
    Comm *comm;
    const Device *device;
    Model *model;
    Fsdp *fsdp;
    Runner *runner;
} Session;

/* All ranks learn the worst status of any of them, so that they stop together. Collective. */
Status agree(Comm *comm, Status status);

/* Shards the model's units over the ranks of `comm` and makes a runner. `comm` and `model` belong to the session from
 * here on, also if it fails (BAD_INPUT: the device cannot compute in options.type). Collective. */
Status session_open(Session *session, Comm *comm, Model *model, RunnerOptions options, bool reshard_after_forward);
/* Frees all of it, the model and the communicator too. NULL members are fine. */
void session_close(Session *session);

#endif
