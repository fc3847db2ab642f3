#include "training/session.h"

#include <stddef.h>

Status agree(Comm *comm, Status status) {
    double worst = (double)status;
    comm->f->all_reduce_max(comm, &worst, 1);
    return (Status)worst;
}

Status session_open(Session *session, Comm *comm, Model *model, RunnerOptions options, bool reshard_after_forward) {
    const FsdpOptions sharding = {options.type, reshard_after_forward, options.training};
    session->comm = comm;
    session->device = device_cpu();
    session->model = model;
    session->fsdp = fsdp_create(comm, session->device, model->unit, model->units, sharding);
    session->runner = runner_create(model, session->fsdp, session->device, options);
    return OK;
}

void session_close(Session *session) {
    runner_destroy(session->runner);
    if (session->fsdp) fsdp_destroy(session->fsdp);
    model_destroy(session->model);
    if (session->comm) comm_destroy(session->comm);
    *session = (Session){0};
}
