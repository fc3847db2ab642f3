#include "training/session.h"

#include "core/cpu_gemm.h"
#include "core/log.h"

Status agree(Comm *comm, Status status) {
    double worst = (double)status;
    comm->f->all_reduce_max(comm, &worst, 1);
    return (Status)worst;
}

Status session_open(Session *session, Comm *comm, Model *model, RunnerOptions options, bool reshard_after_forward) {
    session->comm = comm;
    session->model = model;
    if (!cpu_gemm_supports(options.type)) {
        if (comm->rank == 0)
            log_error("training.mixed_precision_param: bfloat16 needs oneDNN, and this program was built without it; "
                      "use float32");
        return BAD_INPUT;
    }
    const FsdpOptions sharding = {options.type, reshard_after_forward, options.training};
    session->device = device_cpu();
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
