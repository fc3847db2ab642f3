#include "checkpoint/hf_folder.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "checkpoint/checkpoint_state.h"
#include "base/crc.h"
#include "base/files.h"

static const char *torch_name(SafeType type) {
    return type == SAFE_BF16 ? "bfloat16" : type == SAFE_F16 ? "float16" : "float32";
}

Status hf_write_config(const char *config, const char *folder, SafeType type, json_t *state) {
    json_t *json = json_loads(config, 0, NULL);
    CHECK(json_is_object(json), "a config.json that is not JSON: %s", config);
    /* transformers reads torch_dtype in every version; newer ones write dtype instead. */
    json_object_set_new(json, "torch_dtype", json_string(torch_name(type)));
    json_object_set_new(json, "dtype", json_string(torch_name(type)));
    char *text = json_dumps(json, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    CHECK(text, "no memory for config.json");
    const int64_t bytes = (int64_t)strlen(text);
    char *path = path_join(folder, "config.json");
    const int error = file_write_all(path, text, bytes);
    if (state) checkpoint_state_add(state, "files", "config.json", crc_update(0, text, bytes));
    if (error) log_error("writing %s: %s", path, strerror(error));
    free(path);
    free(text);
    json_decref(json);
    return error ? IO_ERROR : OK;
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
