#include "training/origin.h"

#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/log.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/checkpoint_state.h"
#include "models/model_keys.h"

static const int64_t LARGEST_CONFIG = 1 << 20;

/* A file that rank 0 has read and broadcast. */
typedef struct SharedText {
    char *path, *text;
    int64_t bytes;
} SharedText;

static void free_text(SharedText *shared) {
    free(shared->path);
    free(shared->text);
    *shared = (SharedText){0};
}

static void share_bytes(Comm *comm, char **data, int64_t bytes) {
    if (comm->rank != 0) *data = malloc((size_t)bytes + 1);
    CHECK_MEMORY(*data, "out of memory");
    comm->f->broadcast(comm, *data, bytes, 0);
    (*data)[bytes] = 0;
}

/* Rank 0 reads FOLDER/config.json and broadcasts it. Collective. */
static Status read_config(const char *folder, Comm *comm, SharedText *shared) {
    int64_t header[3] = {OK, 0, 0}; /* status, bytes of the path and of the text */
    *shared = (SharedText){0};
    if (comm->rank == 0) {
        shared->path = path_join(folder, "config.json");
        const int error = file_read_all(shared->path, LARGEST_CONFIG, &shared->text, &shared->bytes);
        if (error)
            log_error("reading %s, which describes the model of these weights: %s", shared->path,
                      file_read_reason(error));
        header[0] = !error ? OK : file_is_missing(error) ? BAD_INPUT : IO_ERROR;
        header[1] = (int64_t)strlen(shared->path);
        header[2] = error ? 0 : shared->bytes;
    }
    comm->f->broadcast(comm, header, sizeof header, 0);
    if (header[0] == OK) {
        share_bytes(comm, &shared->path, header[1]);
        share_bytes(comm, &shared->text, header[2]);
        shared->bytes = header[2];
    } else {
        free_text(shared);
    }
    return (Status)header[0];
}

/* The model of FOLDER/config.json. Collective. */
static Status read_model(const char *folder, Comm *comm, Model **model, SharedText *shared) {
    *model = NULL;
    Status status = read_config(folder, comm, shared);
    ConfigValue *keys = NULL;
    if (status == OK) status = config_value_read_json(shared->path, shared->text, (size_t)shared->bytes, &keys);
    if (status == OK) status = model_create(keys, model);
    config_value_free(keys);
    return status;
}

Status origin_read_model(const char *folder, Comm *comm, Model **model) {
    SharedText shared;
    const Status status = comm_worst(comm, read_model(folder, comm, model, &shared));
    free_text(&shared);
    return status;
}

static bool is_allowed(const StringList *allowed, const char *name) {
    for (int64_t i = 0; i < allowed->count; i++)
        if (strcmp(allowed->item[i], name) == 0) return true;
    return false;
}

/* Logs one message that names all refused keys. */
static void refuse(const char *path, const KeyDifferences *refused) {
    char list[2048] = "", names[1024] = "";
    for (int64_t i = 0; i < refused->count; i++) {
        const KeyDifference *d = &refused->item[i];
        const size_t used = strlen(list), named = strlen(names);
        snprintf(list + used, sizeof list - used, "%s%s is %s there and %s here", i ? ", " : "", d->name, d->old,
                 d->now);
        snprintf(names + named, sizeof names - named, "%s%s", i ? ", " : "", d->name);
    }
    if (log_rank() == 0)
        log_error("%s: these weights belong to another model: %s. Remove these keys from model: to use the values of "
                  "the weights, or change them on purpose with checkpoint.allow_model_changes: [%s]",
                  path, list, names);
}

/* Refuses another model_type. Keys of one type of model mean nothing in another, so they can be neither compared nor
 * allowed to change. */
static Status check_type(const SharedText *shared, const Model *saved, const ConfigValue *keys) {
    const ConfigValue *given = config_value_get(keys, "model_type");
    const char *there = saved->config.model_type;
    if (!given || given->type != VALUE_STRING || strcmp(given->text, there) == 0) return OK;
    if (log_rank() == 0)
        log_error("%s: these weights are of another model: model_type is %s there and %s here. Choose another "
                  "job.dump_folder, or other weights",
                  shared->path, there, given->text);
    return BAD_INPUT;
}

static Status compare(const char *path, const Model *saved, const Model *model, const StringList *allowed,
                      KeyDifferences *differences) {
    KeyDifferences all = {0}, refused = {0};
    Status status = model_check_names(model, allowed, "checkpoint.allow_model_changes");
    if (status == OK) model_compare(saved, model, &all);
    for (int64_t i = 0; i < all.count; i++) {
        const KeyDifference *d = &all.item[i];
        KeyDifferences *into = d->inert || is_allowed(allowed, d->name) ? differences : &refused;
        if (into) key_differences_add(into, into == &refused ? "" : "model", d->name, d->old, d->now);
    }
    if (refused.count > 0) {
        refuse(path, &refused);
        status = BAD_INPUT;
    }
    key_differences_free(&all);
    key_differences_free(&refused);
    return status;
}

Status origin_check_model(const char *folder, const Model *model, const StringList *allowed, Comm *comm,
                          KeyDifferences *differences) {
    Model *saved = NULL;
    SharedText shared;
    Status status = read_model(folder, comm, &saved, &shared);
    if (status == OK) status = compare(shared.path, saved, model, allowed, differences);
    model_destroy(saved);
    free_text(&shared);
    return comm_worst(comm, status);
}

/* The step that a resume will most likely load: `load_step`, or the newest whose config.json is undamaged. Loading
 * reads everything and may still fall back to an older step. *found is NULL if there is no step. */
static Status find_step(const char *folder, int64_t load_step, char **found) {
    int64_t *steps, count;
    *found = NULL;
    const Status status = checkpoint_list(folder, &steps, &count);
    for (int64_t i = count - 1; i >= 0 && status == OK && !*found; i--) {
        if (load_step >= 0 && steps[i] != load_step) continue;
        *found = checkpoint_path(folder, steps[i]);
        if (checkpoint_state_matches(*found, "config.json")) continue;
        free(*found);
        *found = NULL;
    }
    free(steps);
    return status;
}

/* Rank 0: the folder whose weights the run will begin with. *folder is NULL if there are none. */
static Status find_origin(const TrainConfig *config, char **folder) {
    const CheckpointConfig *c = &config->checkpoint;
    Status status = OK;
    *folder = NULL;
    if (c->enable_checkpoint) {
        char *checkpoints = path_join(config->job.dump_folder, c->folder);
        status = find_step(checkpoints, c->load_step, folder);
        free(checkpoints);
    }
    if (status != OK || *folder || !c->initial_load_path) return status;
    *folder = checkpoint_find(c->initial_load_path);
    return *folder ? OK : BAD_INPUT;
}

/* Creates the run's model, taking the keys that it leaves out from where the weights are. An error about keys that do
 * not fit together may name a key that the user never gave, so a warning says where such keys come from. */
static Status fill_model(const char *path, const Model *saved, ConfigValue *keys, Model **model) {
    model_fill_keys(keys, &saved->config);
    const Status status = model_create(keys, model);
    if (status == BAD_INPUT)
        log_warning(
            "%s: the keys of model: that the run leaves out are taken from there, as the weights are. Remove the "
            "keys that differ, or change all that belong together with checkpoint.allow_model_changes",
            path);
    return status;
}

Status origin_fill_model(TrainConfig *config, Comm *comm) {
    char *folder = NULL;
    Status status = comm_worst(comm, comm->rank == 0 ? find_origin(config, &folder) : OK);
    int64_t found = folder != NULL;
    comm->f->broadcast(comm, &found, sizeof found, 0);
    Model *saved = NULL, *model = NULL;
    SharedText shared = {0};
    if (status == OK && found) {
        status = read_model(folder, comm, &saved, &shared);
        if (status == OK) status = check_type(&shared, saved, config->model);
        if (status == OK) status = fill_model(shared.path, saved, config->model, &model);
        if (status == OK) status = compare(shared.path, saved, model, &config->checkpoint.allow_model_changes, NULL);
        status = comm_worst(comm, status);
    }
    model_destroy(model);
    model_destroy(saved);
    free_text(&shared);
    free(folder);
    return status;
}
