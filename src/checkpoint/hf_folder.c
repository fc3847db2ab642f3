#include "checkpoint/hf_folder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "checkpoint/checkpoint_state.h"
#include "base/crc.h"
#include "base/files.h"

static const int64_t LARGEST_CONFIG = 16 << 20;

static const char *torch_name(SafeType type) {
    return type == SAFE_BF16 ? "bfloat16" : type == SAFE_F16 ? "float16" : "float32";
}

static Status read_config(const char *path, json_t **config) {
    char *text;
    int64_t bytes;
    *config = NULL;
    const int error = file_read_all(path, LARGEST_CONFIG, &text, &bytes);
    if (error) {
        log_error("reading %s: %s", path, strerror(error));
        return file_is_missing(error) ? BAD_INPUT : IO_ERROR;
    }
    json_error_t reason;
    *config = json_loadb(text, (size_t)bytes, JSON_REJECT_DUPLICATES, &reason);
    free(text);
    if (json_is_object(*config)) return OK;
    log_error("%s: line %d: %s", path, reason.line, *config ? "not an object" : reason.text);
    json_decref(*config);
    *config = NULL;
    return BAD_INPUT;
}

Status hf_copy_config(const char *source, const char *folder, SafeType type, json_t *state) {
    char *from = path_join(source, "config.json"), *to = path_join(folder, "config.json");
    json_t *config;
    Status status = read_config(from, &config);
    if (status == OK) {
        /* transformers reads torch_dtype in every version; newer ones write dtype instead. */
        json_object_set_new(config, "torch_dtype", json_string(torch_name(type)));
        if (json_object_get(config, "dtype")) json_object_set_new(config, "dtype", json_string(torch_name(type)));
        char *text = json_dumps(config, JSON_INDENT(2));
        CHECK(text, "no memory for config.json");
        const int64_t bytes = (int64_t)strlen(text);
        const int error = file_write_all(to, text, bytes);
        if (state) checkpoint_state_add(state, "files", "config.json", crc_update(0, text, bytes));
        if (error) log_error("writing %s: %s", to, strerror(error));
        if (error) status = IO_ERROR;
        free(text);
        json_decref(config);
    }
    free(from);
    free(to);
    return status;
}

Status hf_copy_others(const char *source, const char *folder) {
    static const char *const names[] = {"generation_config.json",
                                        "tokenizer.json",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "tokenizer.model",
                                        "vocab.json",
                                        "merges.txt",
                                        "vocab.txt",
                                        "chat_template.jinja"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *from = path_join(source, names[i]), *to = path_join(folder, names[i]);
        const int error = file_exists(from) ? file_copy(from, to) : 0;
        if (error) log_error("copying %s to %s: %s", from, to, strerror(error));
        free(from);
        free(to);
        if (error) return IO_ERROR;
    }
    return OK;
}
