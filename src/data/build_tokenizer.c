#define _XOPEN_SOURCE 700 /* realpath */

#include "data/build_tokenizer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/log.h"
#include "base/number.h"
#include "data/byte_tokenizer.h"

enum { TOKENIZER_JSON, TOKENIZER_CONFIG }; /* indices in tokenizer_file_names */

static Status find_mark(const BuildTokenizer *build, const char *option, const char *value, int64_t named,
                        int64_t *id) {
    *id = -1;
    if (strcmp(value, "none") == 0) return OK;
    if (strcmp(value, "auto") == 0) {
        *id = named;
        if (named < 0 && !build->files.file[TOKENIZER_CONFIG].content)
            log_warning(
                "there is no tokenizer_config.json beside the tokenizer, so no %s token is known; give --%s TOKEN",
                option, option);
        return OK;
    }
    if (number_is_integer(value) && number_to_integer(value, id) && *id >= 0 &&
        *id < tokenizer_vocab_size(build->tokenizer))
        return OK;
    *id = tokenizer_id(build->tokenizer, value);
    if (*id >= 0) return OK;
    log_error("--%s %s: neither a token of the tokenizer nor an id of its vocabulary", option, value);
    return BAD_INPUT;
}

/* The last part of the folder's path as the user wrote it; of its real path if that is empty, "." or "..". */
static void name_after(const char *folder, char name[TOKENS_NAME_MAX]) {
    const char *last = strrchr(folder, '/');
    last = last ? last + 1 : folder;
    char *real = *last == 0 || strcmp(last, ".") == 0 || strcmp(last, "..") == 0 ? realpath(folder, NULL) : NULL;
    if (real) last = strrchr(real, '/') + 1;
    snprintf(name, TOKENS_NAME_MAX, "%s", last);
    free(real);
}

/* Reads the tokenizer's files. The file that the user named takes the place of tokenizer.json, whatever its name is. */
static Status read_files(const char *path, BuildTokenizer *build) {
    char *file = folder_exists(path) ? path_join(path, tokenizer_file_names[TOKENIZER_JSON]) : strdup(path);
    CHECK_MEMORY(file, "no memory for %s", path);
    char *folder = path_parent(file);
    TokenizerFile *json = &build->files.file[TOKENIZER_JSON];
    Status status = tokenizer_files_read(folder, NULL, &build->files);
    if (!status) {
        free(json->content);
        *json = (TokenizerFile){0};
        const int error = file_read_all(file, TOKENIZER_BYTES_MAX, &json->content, &json->bytes);
        if (error) log_error("reading %s: %s", file, file_read_reason(error));
        status = error ? IO_ERROR : OK;
    }
    if (!status) {
        sha256_text(json->content, json->bytes, build->sha256);
        name_after(folder, build->name);
    }
    free(folder);
    free(file);
    return status;
}

static void set_token(const Tokenizer *tokenizer, json_t *config, const char *key, int64_t id) {
    int64_t bytes;
    const char *token = tokenizer_token(tokenizer, id, &bytes);
    if (token) json_object_set_new(config, key, json_stringn(token, (size_t)bytes));
}

static void make_config(BuildTokenizer *build) {
    TokenizerFile *file = &build->files.file[TOKENIZER_CONFIG];
    if (file->content) return;
    json_t *config = json_pack("{s:s}", "tokenizer_class", "PreTrainedTokenizerFast");
    set_token(build->tokenizer, config, "bos_token", build->bos);
    set_token(build->tokenizer, config, "eos_token", build->eos);
    file->content = json_dumps(config, JSON_COMPACT);
    CHECK_MEMORY(file->content, "no memory for a tokenizer");
    file->bytes = (int64_t)strlen(file->content);
    json_decref(config);
}

Status build_tokenizer_open(const char *path, const char *bos, const char *eos, BuildTokenizer *build) {
    *build = (BuildTokenizer){.name = "bytes", .any_bytes = !path};
    Status status = tokenizer_open(path, &build->tokenizer);
    if (!status && path) status = read_files(path, build);
    if (!status && !path) build->files = byte_tokenizer_files();
    if (!status) status = find_mark(build, "bos", bos, tokenizer_bos(build->tokenizer), &build->bos);
    if (!status) status = find_mark(build, "eos", eos, tokenizer_eos(build->tokenizer), &build->eos);
    if (!status) make_config(build);
    return status;
}

void build_tokenizer_close(BuildTokenizer *build) {
    tokenizer_close(build->tokenizer);
    tokenizer_files_free(&build->files);
    *build = (BuildTokenizer){0};
}
