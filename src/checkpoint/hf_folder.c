#include "checkpoint/hf_folder.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "config/config_value.h"
#include "checkpoint/checkpoint_state.h"
#include "checkpoint/checksums.h"
#include "base/crc.h"
#include "base/files.h"
#include "checkpoint/tokenizer_files.h"

static const char *torch_name(SafeType type) {
    return type == SAFE_BF16 ? "bfloat16" : type == SAFE_F16 ? "float16" : "float32";
}

Status hf_write_config(const char *config, const char *folder, SafeType type, json_t *state) {
    ConfigValue *keys = NULL;
    CHECK(config_value_read_json("config.json", config, strlen(config), &keys) == OK, "%s", config);
    /* All versions of transformers read torch_dtype; newer ones write dtype. */
    config_value_set(keys, "torch_dtype", config_value_string(torch_name(type), NULL, 0));
    config_value_set(keys, "dtype", config_value_string(torch_name(type), NULL, 0));
    char *text = config_value_json(keys);
    const int64_t bytes = (int64_t)strlen(text);
    char *path = path_join(folder, "config.json");
    const int error = file_write_all(path, text, bytes);
    if (state) checkpoint_state_add(state, "files", "config.json", crc_update(0, text, bytes));
    if (error) log_error("writing %s: %s", path, strerror(error));
    free(path);
    free(text);
    config_value_free(keys);
    return error ? IO_ERROR : OK;
}

typedef struct Copy {
    const char *source, *folder;
    const json_t *from;
    json_t *state;
} Copy;

static Status copy(const Copy *c, const char *name) {
    char *text, *to = path_join(c->folder, name);
    int64_t bytes;
    Status status = checksums_read_file(c->from, c->source, name, &text, &bytes);
    const int error = text ? file_write_all(to, text, bytes) : 0;
    if (error) {
        log_error("writing %s: %s", to, strerror(error));
        status = IO_ERROR;
    }
    if (text && c->state) checkpoint_state_add(c->state, "files", name, crc_update(0, text, bytes));
    free(text);
    free(to);
    return status;
}

Status hf_copy_others(const char *source, const json_t *from, const char *folder, json_t *state) {
    const Copy c = {source, folder, from, state};
    Status status = copy(&c, "generation_config.json");
    for (int i = 0; i < TOKENIZER_FILES && status == OK; i++) status = copy(&c, tokenizer_file_names[i]);
    return status;
}
