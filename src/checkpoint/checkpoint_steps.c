#include "checkpoint/checkpoint_steps.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/log.h"
#include "checkpoint/tensor_folder.h"

char *checkpoint_path(const char *folder, int64_t step) {
    char name[40];
    snprintf(name, sizeof name, "step-%08" PRId64, step);
    return path_join(folder, name);
}

char *checkpoint_temporary_path(const char *folder, int64_t step, const char *run_name, const char *suffix) {
    char name[400];
    snprintf(name, sizeof name, "step-%08" PRId64 ".tmp-%.255s%s", step, run_name, suffix);
    return path_join(folder, name);
}

/* 100 for "step-00000100"; -1 for names of another form. */
static int64_t step_of_name(const char *name) {
    int64_t step;
    char again[40];
    if (sscanf(name, "step-%" SCNd64, &step) != 1 || step < 0) return -1;
    snprintf(again, sizeof again, "step-%08" PRId64, step);
    return strcmp(name, again) == 0 ? step : -1;
}

int64_t checkpoint_step(const char *path) {
    const char *slash = strrchr(path, '/');
    return step_of_name(slash ? slash + 1 : path);
}

static int compare_steps(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

Status checkpoint_list_all(const char *folder, int64_t **steps, int64_t *count) {
    *count = 0;
    char **names;
    int64_t names_count = 0;
    const int error = folder_list(folder, &names, &names_count);
    *steps = NULL;
    if (error && error != ENOENT) {
        log_error("reading folder %s: %s", folder, strerror(error));
        return IO_ERROR;
    }
    *steps = calloc((size_t)names_count + 1, sizeof **steps);
    CHECK_MEMORY(*steps, "no memory for the list of checkpoints");
    if (error) return OK;
    for (int64_t i = 0; i < names_count; i++)
        if (step_of_name(names[i]) >= 0) (*steps)[(*count)++] = step_of_name(names[i]);
    folder_list_free(names, names_count);
    qsort(*steps, (size_t)*count, sizeof **steps, compare_steps);
    return OK;
}

static bool is_complete(const char *folder, int64_t step) {
    char *path = checkpoint_path(folder, step), *state = path_join(path, "state.json");
    const bool complete = file_exists(state);
    if (!complete) log_warning("%s has no state.json: it is not a complete checkpoint and is not used", path);
    free(path);
    free(state);
    return complete;
}

Status checkpoint_list(const char *folder, int64_t **steps, int64_t *count) {
    int64_t all;
    const Status status = checkpoint_list_all(folder, steps, &all);
    *count = 0;
    for (int64_t i = 0; status == OK && i < all; i++)
        if (is_complete(folder, (*steps)[i])) (*steps)[(*count)++] = (*steps)[i];
    return status;
}

/* Repairs one step. `old`: the temporary name of the folder that was to be replaced. */
static void recover_step(const char *folder, const char *old) {
    char *from = path_join(folder, old), *path = NULL, name[40];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(old, "."), old);
    char *newer = strdup(from);
    CHECK_MEMORY(newer, "no memory for a path");
    newer[strlen(newer) - strlen(CHECKPOINT_REPLACED)] = 0;
    char *state = path_join(newer, "state.json");
    const int64_t step = step_of_name(name);
    if (step >= 0) path = checkpoint_path(folder, step);
    if (path && !path_exists(path)) {
        const int error = file_rename(file_exists(state) ? newer : from, path);
        if (!error) folder_sync(folder);
        if (error)
            log_error("%s was renamed by a save that was interrupted, and cannot be renamed back: %s", path,
                      strerror(error));
        else
            log_warning("%s was renamed by a save that was interrupted; it has its name again", path);
    }
    free(from);
    free(path);
    free(newer);
    free(state);
}

void checkpoint_recover(const char *folder) {
    char **names;
    int64_t count;
    if (folder_list(folder, &names, &count)) return;
    const size_t suffix = strlen(CHECKPOINT_REPLACED);
    for (int64_t i = 0; i < count; i++) {
        const size_t length = strlen(names[i]);
        if (strstr(names[i], ".tmp-") && length > suffix &&
            strcmp(names[i] + length - suffix, CHECKPOINT_REPLACED) == 0)
            recover_step(folder, names[i]);
    }
    folder_list_free(names, count);
}

char *checkpoint_set_aside(const char *folder, int64_t step, const char *suffix) {
    char *path = checkpoint_path(folder, step);
    const size_t size = strlen(path) + strlen(suffix) + 24;
    char *aside = malloc(size);
    CHECK_MEMORY(aside, "no memory for a path");
    snprintf(aside, size, "%s.%s", path, suffix);
    for (int n = 2; path_exists(aside); n++) snprintf(aside, size, "%s.%s-%d", path, suffix, n);
    const int error = file_rename(path, aside);
    if (error) {
        log_error("%s cannot be renamed to %s: %s", path, aside, strerror(error));
        free(aside);
        aside = NULL;
    }
    free(path);
    return aside;
}

char *checkpoint_trace(const char *folder) {
    char **names, *found = NULL;
    int64_t count;
    if (folder_list(folder, &names, &count)) return NULL;
    for (int64_t i = count - 1; i >= 0 && !found; i--)
        if (strncmp(names[i], "step-", 5) == 0 && !strstr(names[i], ".tmp-"))
            CHECK_MEMORY((found = strdup(names[i])) != NULL, "no memory for a name");
    folder_list_free(names, count);
    return found;
}

char *checkpoint_folder(const char *path) {
    char *inner = path_join(path, "checkpoint");
    if (folder_exists(inner)) return inner;
    free(inner);
    inner = strdup(path);
    CHECK_MEMORY(inner, "no memory for a path");
    return inner;
}

char *checkpoint_find(const char *path) {
    if (tensor_folder_exists(path, "model")) {
        char *same = strdup(path);
        CHECK_MEMORY(same, "no memory for a path");
        return same;
    }
    char *folder = checkpoint_folder(path), *found = NULL;
    int64_t *steps, count = 0;
    if (checkpoint_list(folder, &steps, &count) == OK) {
        if (count > 0) found = checkpoint_path(folder, steps[count - 1]);
        if (count == 0) log_error("%s has no model.safetensors, and there is no step-... folder in %s", path, folder);
        free(steps);
    }
    free(folder);
    return found;
}
