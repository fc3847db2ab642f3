/* flame-c export: writes a checkpoint as a Hugging Face folder, with another element type or shard size. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands/commands.h"
#include "base/interrupts.h"
#include "base/log.h"
#include "base/unfinished.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/checksums.h"
#include "base/files.h"
#include "checkpoint/hf_folder.h"
#include "checkpoint/rewrite.h"
#include "checkpoint/weights.h"
#include "models/model.h"

typedef struct Export {
    const char *checkpoint, *out, *dtype;
    int64_t max_shard_bytes;
} Export;

#define AT(field) offsetof(Export, field)

static const Option options[] = {
    {"checkpoint", OPTION_TEXT | OPTION_REQUIRED, "DIR", NULL, 0, 0,
     "a step folder, or a run's folder (its newest step)", AT(checkpoint)},
    {"out", OPTION_TEXT | OPTION_REQUIRED, "DIR", NULL, 0, 0, "the folder to write; it must be empty or not exist",
     AT(out)},
    {"dtype", OPTION_CHOICE, "bfloat16|float32|float16", "bfloat16", 0, 0, "type of the weights", AT(dtype)},
    {"max-shard-size", OPTION_SIZE, "SIZE", "5GB", 0, 0, "largest size of a file", AT(max_shard_bytes)},
};

static SafeType safe_type(const char *dtype) {
    return strcmp(dtype, "bfloat16") == 0 ? SAFE_BF16 : strcmp(dtype, "float16") == 0 ? SAFE_F16 : SAFE_F32;
}

static Status check_out(const char *source, const char *out) {
    char **names;
    int64_t count;
    if (path_is_inside(source, out)) {
        log_error("--out %s is inside the checkpoint to export; choose another folder", out);
        return BAD_INPUT;
    }
    const int error = folder_list(out, &names, &count);
    if (error == ENOENT) return OK;
    if (error) {
        log_error("--out %s: %s", out, strerror(error));
        return BAD_INPUT;
    }
    folder_list_free(names, count);
    if (count > 0) log_error("--out %s is not empty; choose another folder", out);
    return count > 0 ? BAD_INPUT : OK;
}

static Status write_tensors(const Export *task, const TensorFolder *tensors, const json_t *state, const Model *model,
                            const char *temporary) {
    int64_t count;
    const SafeTensor **list = weights_list(tensors, model->unit, model->units, &count);
    const RewriteOptions options = {
        .type = safe_type(task->dtype), .max_shard_bytes = task->max_shard_bytes, .expected = state};
    const Status status = tensors_rewrite(list, count, temporary, options, NULL);
    free(list);
    return status;
}

static Status write_folder(const Export *task, const char *source, const Model *model, const char *temporary) {
    char *config = model_config_json(model);
    TensorFolder *tensors = NULL;
    json_t *state;
    Status status = checksums_open_weights(source, &state, &tensors);
    if (status == OK) status = weights_check(tensors, source, "", model->unit, model->units);
    if (status == OK) status = write_tensors(task, tensors, state, model, temporary);
    if (status == OK) status = hf_write_config(config, temporary, safe_type(task->dtype), NULL);
    if (status == OK) status = hf_copy_others(source, state, temporary, NULL);
    tensor_folder_close(tensors);
    json_decref(state);
    free(config);
    return status;
}

static Status read_model(const char *source, Model **model) {
    char *path = path_join(source, "config.json");
    const Status status = model_from_file(path, model);
    free(path);
    return status;
}

/* Syncs the finished folder and renames it to --out, so that --out is either complete or missing. */
static Status move_into_place(const char *temporary, const char *out) {
    char *parent = path_parent(out);
    int error = folder_sync(temporary);
    if (!error) error = file_rename(temporary, out);
    if (!error) error = folder_sync(parent);
    if (error) log_error("renaming %s to %s: %s", temporary, out, strerror(error));
    free(parent);
    return error ? IO_ERROR : OK;
}

static Status export_folder(const Export *task, const char *source) {
    Model *model = NULL;
    Status status = check_out(source, task->out);
    if (status == OK) status = read_model(source, &model);
    if (status) return status;
    const size_t size = strlen(task->out) + 40;
    char *out = strdup(task->out), *temporary = malloc(size);
    CHECK_MEMORY(out && temporary, "no memory for a path");
    while (strlen(out) > 1 && out[strlen(out) - 1] == '/') out[strlen(out) - 1] = 0;
    snprintf(temporary, size, "%s.tmp-%ld", out, (long)getpid());
    interrupts_watch();
    unfinished_add(temporary);
    int error = folder_create_above(temporary);
    if (!error) error = folder_create_empty(temporary);
    if (error) {
        log_error("creating %s: %s", temporary, strerror(error));
        status = IO_ERROR;
    } else {
        status = write_folder(task, source, model, temporary);
        if (status == OK) status = move_into_place(temporary, out);
        if (status && path_exists(temporary)) folder_remove(temporary);
    }
    unfinished_drop(temporary);
    if (status == OK) log_info("exported %s to %s", source, out);
    model_destroy(model);
    free(out);
    free(temporary);
    return status;
}

static Status run(void *values) {
    const Export *task = values;
    char *source = checkpoint_find(task->checkpoint);
    const Status status = source ? export_folder(task, source) : BAD_INPUT;
    free(source);
    return status;
}

const Command export_command = {
    .name = "export",
    .summary = "write a checkpoint as a Hugging Face folder of another element type or shard size",
    .text = "Writes the weights of a checkpoint as a folder that Hugging Face's from_pretrained loads: config.json,\n"
            "model.safetensors or shards of it, and the tokenizer's files if the checkpoint has them.\n",
    .options = options,
    .option_count = LENGTH(options),
    .values_size = sizeof(Export),
    .run = run,
};
