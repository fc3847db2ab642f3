/* A sharded model that is ready to run: commands that run a model open it first and close it last. */
#ifndef FLAME_TRAINING_SESSION_H
#define FLAME_TRAINING_SESSION_H

#include "training/runner.h"

typedef struct Session {
    Comm *comm; /* all ranks, for host memory */
    Mesh mesh;  /* the same ranks as replicas x shards, for device memory */
    const Device *device;
    Model *model;
    Fsdp *fsdp;
    Runner *runner;
    Model *teacher; /* teacher.h; NULL: none */
    Fsdp *teacher_fsdp;
    uint64_t teacher_fingerprint;
    double data_seconds;    /* time in samples_read until all ranks have their samples */
    double reading_seconds; /* time that samples_read has taken on this rank, without waiting for other ranks */
} Session;

/* The worst status of all ranks, so that all stop together. Collective. */
Status agree(Comm *comm, Status status);

/* Opens the device `name`: "cpu"; "cuda", a GPU for each rank; or "auto", which is cuda if every rank has a GPU, else
 * cpu. BAD_INPUT (logged once, with the reason) if a GPU is requested and missing, or present and unusable. Collective.
 */
Status session_device(Comm *comm, const char *name, const Device **device);

/* Creates the communicators for device memory, which allocate the device memory that they need. Takes over `comm`, also
 * on failure. BAD_INPUT if the devices of the ranks cannot reach each other. Collective. */
Status session_connect(Session *session, Comm *comm, const Device *device, int replicas);
/* Shards the model over the ranks and creates its runner. Takes over `model`, also on failure. BAD_INPUT if the device
 * cannot compute in options.type. Collective. */
Status session_fill(Session *session, Model *model, RunnerOptions options, FsdpOptions sharding);
/* session_connect, then session_fill. */
Status session_open(Session *session, Comm *comm, const Device *device, Model *model, RunnerOptions options,
                    FsdpOptions sharding);
/* The sharding for commands that have no configuration. */
FsdpOptions session_sharding(const RunnerOptions *options);
/* Bytes of the device's memory that each rank needs for a session with these arguments. */
int64_t session_memory(const Comm *comm, const Device *device, Model *model, const RunnerOptions *options);
/* Frees everything, model and communicator included. Members may be NULL. */
void session_close(Session *session);

#endif
