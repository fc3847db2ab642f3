/* flame-c logits: writes the logits of a checkpoint's model for given tokens, to compare them with other programs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/commands.h"
#include "commands/output_file.h"
#include "base/log.h"
#include "base/memory.h"
#include "checkpoint/checkpoint.h"
#include "base/files.h"
#include "checkpoint/safetensors_plan.h"
#include "checkpoint/weights.h"
#include "training/session.h"

typedef struct Logits {
    const char *checkpoint, *tokens, *out, *device;
} Logits;

#define AT(field) offsetof(Logits, field)

static const Option options[] = {
    {"checkpoint", OPTION_TEXT | OPTION_REQUIRED, "DIR", NULL, 0, 0,
     "a step folder, a run's folder (its newest step) or a Hugging Face folder", AT(checkpoint)},
    {"tokens", OPTION_TEXT | OPTION_REQUIRED, "FILE.safetensors", NULL, 0, 0, "holds input_ids [B, T] (int64)",
     AT(tokens)},
    {"out", OPTION_TEXT | OPTION_REQUIRED, "FILE.safetensors", NULL, 0, 0, "the file to write, which must not exist",
     AT(out)},
    {"device", OPTION_CHOICE, DEVICES, "auto", 0, 0, "where to compute", AT(device)},
};

/* Copies input_ids [B, T] into the runner's batch. Every sequence is one document. */
static Status read_tokens(const SafeTensor *ids, const Session *session, int64_t *tokens) {
    const int64_t T = ids->shape[1], vocabulary = session->model->config.vocab_size;
    const HostBatch batch = runner_batch(session->runner);
    const Status status = safetensors_read_integers(ids, 0, ids->elements, tokens);
    for (int64_t i = 0; status == OK && i < ids->elements; i++) {
        if (tokens[i] < 0 || tokens[i] >= vocabulary) {
            log_error("%s: input_ids holds %lld, but the vocabulary has %lld tokens", safetensors_path(ids->file),
                      (long long)tokens[i], (long long)vocabulary);
            return BAD_INPUT;
        }
        batch.tokens[i] = (int32_t)tokens[i];
        batch.labels[i] = -100;
        batch.segment[i] = 0;
        batch.position[i] = (int32_t)(i % T);
    }
    return status;
}

static Status write_result(const char *path, const SafeTensor *ids, const int64_t *tokens, const float *logits,
                           int64_t vocabulary) {
    const int64_t shape[3] = {ids->shape[0], ids->shape[1], vocabulary};
    SafetensorsPlan plan = {0};
    safetensors_plan_add(&plan, "input_ids", SAFE_I64, 2, shape);
    safetensors_plan_add(&plan, "logits", SAFE_F32, 3, shape);
    safetensors_plan_place(&plan, "logits", INT64_MAX);
    const PlannedFile *file = &plan.file[0];
    int fd = -1;
    int error = folder_create_above(path);
    if (!error) error = file_create(path, &fd);
    if (!error) {
        error = file_write(fd, file->header, file->header_bytes, 0);
        if (!error) error = file_write(fd, tokens, plan.tensor[0].bytes, plan.tensor[0].offset);
        if (!error) error = file_write(fd, logits, plan.tensor[1].bytes, plan.tensor[1].offset);
        const int close_error = file_close(fd);
        if (!error) error = close_error;
        if (error) file_remove(path);
    }
    if (error) log_error("writing %s: %s", path, strerror(error));
    safetensors_plan_free(&plan);
    return error ? IO_ERROR : OK;
}

static Status open_session(const char *folder, const SafeTensor *ids, const char *device_name, Session *session) {
    const Device *device = NULL;
    char *config = path_join(folder, "config.json");
    session->comm = comm_self_create();
    Status status = session_device(session->comm, device_name, &device);
    if (status == OK) status = model_from_file(config, &session->model);
    free(config);
    const RunnerOptions runner = {.type = F32, .B = ids->shape[0], .T = ids->shape[1], .logits = true};
    return status == OK
               ? session_open(session, session->comm, device, session->model, runner, session_sharding(&runner))
               : status;
}

static Status compute(const char *folder, const SafeTensor *ids, const char *device, const char *out) {
    Session session = {0};
    Status status = open_session(folder, ids, device, &session);
    if (status) {
        session_close(&session);
        return status;
    }
    Comm *comm = session.comm;
    const Model *model = session.model;
    const int64_t vocabulary = model->config.vocab_size;
    const char advice[] = "Give fewer or shorter sequences";
    int64_t *tokens = memory_take(ids->elements * (int64_t)sizeof *tokens, "the tokens", advice);
    float *logits = memory_take(ids->elements * vocabulary * (int64_t)sizeof *logits, "the logits", advice);
    status = output_prepare(comm, "out", out);
    if (status == OK) status = weights_load(folder, comm, model->unit, model->units);
    if (status == OK) status = read_tokens(ids, &session, tokens);
    if (status == OK) {
        runner_logits(session.runner, logits);
        status = write_result(out, ids, tokens, logits, vocabulary);
    }
    free(tokens);
    free(logits);
    session_close(&session);
    return status;
}

static Status run(void *values) {
    const Logits *task = values;
    SafeTensors *file;
    char *folder = checkpoint_find(task->checkpoint);
    if (!folder) return BAD_INPUT;
    Status status = safetensors_open(task->tokens, &file);
    if (status == OK) {
        const SafeTensor *ids = safetensors_find(file, "input_ids");
        if (ids && ids->dims == 2 && ids->elements > 0) {
            status = compute(folder, ids, task->device, task->out);
        } else {
            log_error("%s: there must be a tensor input_ids [B, T]", task->tokens);
            status = BAD_INPUT;
        }
    }
    safetensors_close(file);
    free(folder);
    return status;
}

const Command logits_command = {
    .name = "logits",
    .summary = "write the logits of a checkpoint for given tokens",
    .text = "Reads input_ids and writes input_ids and logits [B, T, vocabulary] (fp32).\n",
    .options = options,
    .option_count = LENGTH(options),
    .values_size = sizeof(Logits),
    .run = run,
};
