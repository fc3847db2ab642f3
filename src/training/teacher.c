#include "training/teacher.h"

#include <stdlib.h>

#include "base/files.h"
#include "base/log.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/weights.h"
#include "training/origin.h"
#include "training/setup.h"

static Status check_vocabulary(const char *folder, const Model *teacher, const Model *model) {
    const int64_t there = teacher->config.vocab_size, here = model->config.vocab_size;
    if (there == here) return OK;
    if (log_rank() == 0)
        log_error("training.teacher %s has vocab_size %lld and this model has %lld; a model learns from a teacher with "
                  "the same tokenizer and vocab_size",
                  folder, (long long)there, (long long)here);
    return BAD_INPUT;
}

/* Finds the teacher's folder. The caller frees *folder. */
static Status find_folder(const TrainConfig *config, Comm *comm, char **folder) {
    const char *path = config->training.teacher;
    *folder = NULL;
    if (folder_exists(path))
        *folder = checkpoint_find(path);
    else
        log_error(
            "training.teacher %s is not a folder; name one with config.json and model.safetensors, or that of a run",
            path);
    return agree(comm, *folder ? OK : BAD_INPUT);
}

Status teacher_read(const TrainConfig *config, const Model *model, Comm *comm, Model **teacher) {
    char *folder = NULL;
    *teacher = NULL;
    if (!config->training.teacher) return OK;
    Status status = find_folder(config, comm, &folder);
    if (status == OK) status = origin_read_model(folder, comm, teacher);
    if (status == OK) status = check_vocabulary(folder, *teacher, model);
    free(folder);
    return status;
}

static Status check_finite(const char *folder, const Session *session) {
    const Parameter *wrong = weights_not_finite(session->teacher->unit, session->teacher->units);
    if (comm_is_first(session->comm, wrong != NULL))
        log_error("training.teacher %s: tensor %s has values that are not finite", folder, wrong->name);
    return agree(session->comm, wrong ? BAD_INPUT : OK);
}

Status teacher_load(const TrainConfig *config, Session *session) {
    Model *teacher = session->teacher;
    char *folder = NULL;
    if (!teacher) return OK;
    Status status = find_folder(config, session->comm, &folder);
    if (status == OK) {
        session->teacher_fsdp =
            fsdp_create(&session->mesh, session->device, teacher->unit, teacher->units, setup_teacher_sharding(config));
        status = weights_load(folder, session->comm, teacher->unit, teacher->units);
    }
    if (status == OK) status = check_finite(folder, session);
    if (status == OK) {
        session->teacher_fingerprint = weights_fingerprint(session->comm, teacher->unit, teacher->units);
        fsdp_freeze(session->teacher_fsdp);
        log_info("teacher      from %s", folder);
    }
    free(folder);
    return status;
}
