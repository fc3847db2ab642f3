/* flame-c import: a step-0 checkpoint from a Hugging Face folder. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/commands.h"
#include "base/interrupts.h"
#include "base/log.h"
#include "base/unfinished.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/checkpoint_state.h"
#include "checkpoint/checksums.h"
#include "base/files.h"
#include "checkpoint/hf_folder.h"
#include "checkpoint/rewrite.h"
#include "checkpoint/run_lock.h"
#include "checkpoint/weights.h"
#include "models/model.h"

static const int64_t LARGEST_FILE = INT64_C(5000000000);

typedef struct Import {
    const char *from, *out;
} Import;

static const Option options[] = {
    {"from", OPTION_TEXT | OPTION_REQUIRED, "HF_DIR", NULL, 0, 0, "config.json and model.safetensors, or shards of it",
     offsetof(Import, from)},
    {"out", OPTION_TEXT | OPTION_REQUIRED, "DIR", NULL, 0, 0, "the run's folder, which must not have checkpoints yet",
     offsetof(Import, out)},
};

static Status write_state(json_t *state, const char *folder) {
    char *path = path_join(folder, "state.json");
    int64_t bytes;
    char *text = checkpoint_state_encode(state, &bytes);
    const int error = file_write_all(path, text, bytes);
    if (error) log_error("writing %s: %s", path, strerror(error));
    free(text);
    free(path);
    return error ? IO_ERROR : OK;
}

/* What is read: a folder, its tensors, and its state.json (NULL: it has none). */
typedef struct Source {
    const char *folder;
    TensorFolder *tensors;
    json_t *state;
} Source;

static Status write_checkpoint(const Source *from, const Model *model, const char *temporary) {
    int64_t count;
    const SafeTensor **list = weights_list(from->tensors, model->unit, model->units, &count);
    char *config = model_config_json(model);
    json_t *state = json_pack("{s:i,s:i,s:s}", "format_version", CHECKPOINT_VERSION, "step", 0, "moments", "zero");
    const RewriteOptions rewrite = {
        .type = SAFE_F32, .max_shard_bytes = LARGEST_FILE, .expected = from->state, .warn_about_zeros = true};
    Status status = tensors_rewrite(list, count, temporary, rewrite, state);
    if (status == OK) status = hf_write_config(config, temporary, SAFE_F32, state);
    if (status == OK) status = hf_copy_others(from->folder, from->state, temporary, state);
    if (status == OK) status = write_state(state, temporary);
    json_decref(state);
    free(config);
    free(list);
    return status;
}

/* Writes the step under a temporary name in the run's folder and then renames it. */
static Status make_step(const Source *from, const Model *model, const char *folder, const char *run_name) {
    char name[300];
    snprintf(name, sizeof name, "step-00000000.tmp-%.255s", run_name);
    char *temporary = path_join(folder, name), *path = checkpoint_path(folder, 0);
    unfinished_add(temporary);
    int error = folder_create_empty(temporary);
    Status status = error ? IO_ERROR : write_checkpoint(from, model, temporary);
    if (status == OK) {
        error = folder_sync(temporary);
        if (!error) error = file_rename(temporary, path);
        if (!error) error = folder_sync(folder);
        if (error) status = IO_ERROR;
    }
    if (error) log_error("writing %s: %s", path, strerror(error));
    if (status && path_exists(temporary)) folder_remove(temporary);
    unfinished_drop(temporary);
    if (status == OK) log_info("imported %s as %s", from->folder, path);
    free(temporary);
    free(path);
    return status;
}

/* Makes the step in `folder`, that of the steps of the run `out`, which is locked. If that fails, nothing is left of a
 * folder that was not there before. */
static Status make_run(const Source *from, const Model *model, const char *out, const char *folder) {
    RunLock *lock = NULL;
    Comm *self = comm_self_create();
    interrupts_watch();
    const bool made = folder_create_above(out) == 0 && folder_create(out) == 0;
    if (made) unfinished_add(out);
    Status status = run_lock_acquire(self, folder, 0, &lock);
    if (status == OK) {
        status = make_step(from, model, folder, run_lock_name(lock));
        if (status != OK && made) folder_remove(out);
    }
    unfinished_drop(out);
    run_lock_release(lock);
    comm_destroy(self);
    return status;
}

static Status check_empty(const char *folder) {
    int64_t *steps, count;
    const Status status = checkpoint_list(folder, &steps, &count);
    if (status) return status;
    free(steps);
    if (count > 0) log_error("%s has checkpoints already: choose another --out", folder);
    return count > 0 ? BAD_INPUT : OK;
}

static Status import_folder(const char *from, const char *out) {
    char *config = path_join(from, "config.json"), *folder = path_join(out, "checkpoint");
    Model *model = NULL;
    Source source = {.folder = from};
    Status status = model_from_file(config, &model);
    if (status == OK) status = check_empty(folder);
    if (status == OK) status = checksums_open_weights(from, &source.state, &source.tensors);
    if (status == OK) status = weights_check(source.tensors, from, "", model->unit, model->units);
    if (status == OK) status = make_run(&source, model, out, folder);
    tensor_folder_close(source.tensors);
    json_decref(source.state);
    model_destroy(model);
    free(config);
    free(folder);
    return status;
}

static Status run(void *values) {
    const Import *task = values;
    return import_folder(task->from, task->out);
}

const Command import_command = {
    .name = "import",
    .summary = "make a step-0 checkpoint from a Hugging Face folder",
    .text =
        "Makes DIR/checkpoint/step-00000000 from a Hugging Face folder: a run with job.dump_folder DIR and the same\n"
        "model starts from these weights. They are stored as fp32; the optimizer's moments start at zero.\n",
    .options = options,
    .option_count = LENGTH(options),
    .values_size = sizeof(Import),
    .run = run,
};
