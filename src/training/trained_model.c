#include "training/trained_model.h"

#include <stdlib.h>

#include "base/files.h"
#include "base/log.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/weights.h"

Status trained_model_read(const char *checkpoint, Session *session, char **folder) {
    *folder = checkpoint_find(checkpoint);
    const Status status = agree(session->comm, *folder ? OK : BAD_INPUT);
    if (status != OK) return status;
    char *config = path_join(*folder, "config.json");
    const Status read = model_from_file(config, &session->model);
    free(config);
    return agree(session->comm, read);
}

Status trained_model_open(const char *folder, const char *device_name, const RunnerOptions *runner, Session *session) {
    const Device *device = NULL;
    Model *model = session->model;
    Status status = session_device(session->comm, device_name, &device);
    if (status == OK) status = session_open(session, session->comm, device, model, *runner, session_sharding(runner));
    return status == OK ? weights_load(folder, session->comm, model->unit, model->units) : status;
}

Status trained_model_not_finite(const Session *session, const char *checkpoint, DType type, double loss) {
    const Parameter *parameter = weights_not_finite(session->model->unit, session->model->units);
    const Status tensors = comm_worst(session->comm, parameter ? BAD_INPUT : OK);
    if (comm_is_first(session->comm, parameter != NULL))
        log_error("%s: tensor %s has values that are not finite: the loss is %g", checkpoint, parameter->name, loss);
    if (tensors == OK && session->comm->rank == 0)
        log_error("%s: the loss is %g, though all weights are finite%s", checkpoint, loss,
                  type == F32 ? "" : "; try --dtype float32");
    return comm_worst(session->comm, NUMERIC_STOP);
}
