#include "checkpoint/tensor_folder.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/files.h"

static const int64_t LARGEST_INDEX = 100000000;

struct TensorFolder {
    int64_t files, count;
    SafeTensors **file;
    const SafeTensor **tensor; /* by name */
};

static Status add_file(TensorFolder *folder, const char *directory, const char *name) {
    char *path = path_join(directory, name);
    SafeTensors *file;
    const Status status = safetensors_open(path, &file);
    free(path);
    if (status) return status;
    folder->file = realloc(folder->file, (size_t)(folder->files + 1) * sizeof *folder->file);
    folder->tensor =
        realloc(folder->tensor, (size_t)(folder->count + safetensors_count(file) + 1) * sizeof *folder->tensor);
    CHECK_MEMORY(folder->file && folder->tensor, "no memory for the tensors of %s", directory);
    folder->file[folder->files++] = file;
    for (int64_t i = 0; i < safetensors_count(file); i++) folder->tensor[folder->count++] = safetensors_entry(file, i);
    return OK;
}

static bool has_file(const TensorFolder *folder, const char *name) {
    for (int64_t i = 0; i < folder->files; i++)
        if (strcmp(strrchr(safetensors_path(folder->file[i]), '/') + 1, name) == 0) return true;
    return false;
}

/* The index must list exactly the tensors of the shards, each with the right shard. */
static Status compare_with_index(const TensorFolder *folder, const char *path, const json_t *map) {
    const char *name, *where;
    json_t *value;
    int64_t found = 0;
    for (int64_t i = 0; i < folder->files; i++) {
        for (int64_t j = 0; j < safetensors_count(folder->file[i]); j++) {
            name = safetensors_entry(folder->file[i], j)->name;
            where = json_string_value(json_object_get(map, name));
            const char *file = safetensors_path(folder->file[i]);
            if (!where || strcmp(where, strrchr(file, '/') + 1) != 0) {
                log_error("%s has tensor %s, which %s %s", file, name, path,
                          where ? "places in another file" : "lacks");
                return BAD_INPUT;
            }
            found++;
        }
    }
    if (found == (int64_t)json_object_size(map)) return OK;
    json_object_foreach((json_t *)map, name, value) {
        bool present = false;
        for (int64_t i = 0; i < folder->files; i++) present |= safetensors_find(folder->file[i], name) != NULL;
        if (present) continue;
        log_error("%s places tensor %s in %s, but it is not there", path, name, json_string_value(value));
        return BAD_INPUT;
    }
    return OK;
}

static Status check_total(const TensorFolder *folder, const char *path, const json_t *index) {
    const json_t *total = json_object_get(json_object_get(index, "metadata"), "total_size");
    if (!total) return OK;
    int64_t bytes = 0;
    for (int64_t i = 0; i < folder->count; i++) bytes += folder->tensor[i]->bytes;
    /* Some versions of Hugging Face's libraries write it as a real number: 1234.0. */
    if (json_is_number(total) && json_number_value(total) == (double)bytes) return OK;
    log_error("%s: metadata.total_size does not agree with the %" PRId64 " bytes in the shards", path, bytes);
    return BAD_INPUT;
}

static Status open_shards(TensorFolder *folder, const char *directory, const char *path, const json_t *index) {
    const json_t *map = json_object_get(index, "weight_map");
    if (!json_is_object(map)) {
        log_error("%s has no object weight_map", path);
        return BAD_INPUT;
    }
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)map, name, value) {
        const char *file = json_string_value(value);
        if (!file || !path_is_name(file)) {
            log_error("%s: the file of tensor %s must be a plain file name", path, name);
            return BAD_INPUT;
        }
        const Status status = has_file(folder, file) ? OK : add_file(folder, directory, file);
        if (status) return status;
    }
    const Status status = compare_with_index(folder, path, map);
    return status ? status : check_total(folder, path, index);
}

static Status open_index(TensorFolder *folder, const char *directory, const char *path) {
    char *text;
    int64_t bytes;
    const int error = file_read_all(path, LARGEST_INDEX, &text, &bytes);
    if (error) {
        log_error("reading %s: %s", path, file_read_reason(error));
        return file_is_missing(error) ? BAD_INPUT : IO_ERROR;
    }
    json_error_t reason;
    json_t *index = json_loadb(text, (size_t)bytes, JSON_REJECT_DUPLICATES, &reason);
    free(text);
    if (!index) {
        log_error("%s is not JSON: line %d: %s", path, reason.line, reason.text);
        return BAD_INPUT;
    }
    const Status status = open_shards(folder, directory, path, index);
    json_decref(index);
    return status;
}

static int compare_names(const void *a, const void *b) {
    return strcmp((*(const SafeTensor *const *)a)->name, (*(const SafeTensor *const *)b)->name);
}

/* DIRECTORY/STEM followed by the ending. The caller frees it. */
static char *stem_path(const char *directory, const char *stem, const char *ending) {
    char name[128];
    snprintf(name, sizeof name, "%s%s", stem, ending);
    return path_join(directory, name);
}

bool tensor_folder_exists(const char *directory, const char *stem) {
    char *path = stem_path(directory, stem, ".safetensors"),
         *index = stem_path(directory, stem, ".safetensors.index.json");
    const bool exists = file_exists(path) || file_exists(index);
    free(path);
    free(index);
    return exists;
}

Status tensor_folder_open(const char *directory, const char *stem, TensorFolder **result) {
    *result = NULL;
    TensorFolder *folder = calloc(1, sizeof *folder);
    CHECK_MEMORY(folder, "no memory to open %s", directory);
    char *path = stem_path(directory, stem, ".safetensors"),
         *index = stem_path(directory, stem, ".safetensors.index.json");
    Status status;
    if (file_exists(path)) {
        status = add_file(folder, directory, strrchr(path, '/') + 1);
    } else if (file_exists(index)) {
        status = open_index(folder, directory, index);
    } else {
        log_error("%s has neither %s.safetensors nor %s.safetensors.index.json", directory, stem, stem);
        status = BAD_INPUT;
    }
    free(path);
    free(index);
    if (status) {
        tensor_folder_close(folder);
        return status;
    }
    if (folder->count > 0) qsort(folder->tensor, (size_t)folder->count, sizeof *folder->tensor, compare_names);
    *result = folder;
    return OK;
}

void tensor_folder_close(TensorFolder *folder) {
    if (!folder) return;
    for (int64_t i = 0; i < folder->files; i++) safetensors_close(folder->file[i]);
    free(folder->file);
    free(folder->tensor);
    free(folder);
}

const SafeTensor *tensor_folder_find(const TensorFolder *folder, const char *name) {
    int64_t low = 0, high = folder->count;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        const int order = strcmp(name, folder->tensor[middle]->name);
        if (order == 0) return folder->tensor[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

int64_t tensor_folder_count(const TensorFolder *folder) { return folder->count; }

const SafeTensor *tensor_folder_entry(const TensorFolder *folder, int64_t index) { return folder->tensor[index]; }

int64_t tensor_folder_files(const TensorFolder *folder) { return folder->files; }

const SafeTensors *tensor_folder_file(const TensorFolder *folder, int64_t index) { return folder->file[index]; }
