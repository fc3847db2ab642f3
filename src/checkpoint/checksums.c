#include "checkpoint/checksums.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/files.h"
#include "base/log.h"
#include "base/memory.h"
#include "checkpoint/checkpoint_state.h"

static const int64_t LARGEST_FILE = 256 << 20; /* of those that hold no tensors */

/* A safetensors header can be valid JSON although a bit of a name or shape has flipped, so its CRC is compared too. */
static Status check_header(const json_t *state, const SafeTensors *file) {
    const char *path = safetensors_path(file);
    const int64_t bytes = safetensors_data_start(file);
    char *header = memory_take(bytes, path, NOTHING_LESS);
    int fd;
    int error = file_open_read(path, &fd, NULL);
    if (!error) {
        error = file_read(fd, header, bytes, 0);
        file_close(fd);
    }
    uint32_t expected;
    const bool known = checkpoint_state_find(state, "files", strrchr(path, '/') + 1, &expected);
    const bool same = !error && known && crc_update(0, header, bytes) == expected;
    free(header);
    if (error)
        log_error("reading %s: %s", path, strerror(error));
    else if (!same)
        log_error("the header of %s was changed after it was saved: its CRC-32 differs", path);
    return error ? IO_ERROR : same ? OK : BAD_INPUT;
}

/* Only folders with several files have an index. */
static Status check_index(const json_t *state, const char *folder, const char *stem) {
    char name[64];
    uint32_t crc;
    snprintf(name, sizeof name, "%s.safetensors.index.json", stem);
    return checkpoint_state_find(state, "files", name, &crc) ? checkpoint_state_check_file(state, folder, name) : OK;
}

Status checksums_open_tensors(const json_t *state, const char *folder, const char *stem, TensorFolder **tensors) {
    *tensors = NULL;
    Status status = state ? check_index(state, folder, stem) : OK;
    if (status == OK) status = tensor_folder_open(folder, stem, tensors);
    for (int64_t i = 0; state && status == OK && i < tensor_folder_files(*tensors); i++)
        status = check_header(state, tensor_folder_file(*tensors, i));
    return status;
}

Status checksums_state(const char *folder, json_t **state) {
    char *path = path_join(folder, "state.json");
    const bool there = path_exists(path);
    free(path);
    *state = NULL;
    const Status status = there ? checkpoint_state_read(folder, state) : OK;
    return *state ? checkpoint_state_check_version(*state, folder) : status;
}

Status checksums_read_file(const json_t *state, const char *folder, const char *name, char **text, int64_t *bytes) {
    char *path = path_join(folder, name);
    uint32_t crc;
    const bool known = checkpoint_state_find(state, "files", name, &crc);
    Status status = known ? checkpoint_state_check_file(state, folder, name) : OK;
    *text = NULL;
    const int error = status == OK && file_exists(path) ? file_read_all(path, LARGEST_FILE, text, bytes) : 0;
    if (error) {
        log_error("reading %s: %s", path, strerror(error));
        status = IO_ERROR;
    }
    free(path);
    return status;
}

Status checksums_open_weights(const char *folder, json_t **state, TensorFolder **tensors) {
    *tensors = NULL;
    Status status = checksums_state(folder, state);
    if (status == OK && *state) status = checkpoint_state_check_file(*state, folder, "config.json");
    return status == OK ? checksums_open_tensors(*state, folder, "model", tensors) : status;
}

Status checksums_check_tensor(const json_t *state, const char *folder, const char *name, uint32_t crc, bool log) {
    uint32_t expected;
    if (!state || (checkpoint_state_find(state, "tensors", name, &expected) && crc == expected)) return OK;
    if (log)
        log_error("%s: tensor %s is damaged: its CRC-32 is %08" PRIx32 ", not the one in state.json", folder, name,
                  crc);
    return BAD_INPUT;
}
