/* A model on its ranks: what every command that runs a model opens first and closes last. */
#ifndef FLAME_TRAINING_SESSION_H
#define FLAME_TRAINING_SESSION_H

#include "training/runner.h"

typedef struct Session {
    Comm *comm; /* all ranks, for the host's memory */
    Mesh mesh;  /* how the model lies on them, for the device's memory */
    const Device *device;
    Model *model;
    Fsdp *fsdp;
    Runner *runner;
} Session;

/* All ranks learn the worst status of any of them, so that they stop together. Collective. */
Status agree(Comm *comm, Status status);

/* The device that `name` means: cpu; cuda, one GPU for each rank; or auto, cuda if every rank has one that works, else
 * cpu. BAD_INPUT (logged once, with the reason) if a GPU that was asked for, or that is there, cannot be used.
 * Collective. */
Status session_device(Comm *comm, const char *name, const Device **device);

/* Connects the ranks of `comm`, which belongs to the session from here on, also if it fails (BAD_INPUT: their devices
 * cannot reach each other). What that takes of the device's memory is taken now. Collective. */
Status session_connect(Session *session, Comm *comm, const Device *device, int replicas);
/* Lays the model's units out over the ranks and makes a runner. `model` belongs to the session from here on, also if it
 * fails (BAD_INPUT: the device cannot compute in options.type). Collective. */
Status session_fill(Session *session, Model *model, RunnerOptions options, FsdpOptions sharding);
/* Both. */
Status session_open(Session *session, Comm *comm, const Device *device, Model *model, RunnerOptions options,
                    FsdpOptions sharding);
/* How parameters are sharded where no configuration says it. */
FsdpOptions session_sharding(const RunnerOptions *options);
/* Frees all of it, the model and the communicator too. NULL members are fine. */
void session_close(Session *session);

#endif
