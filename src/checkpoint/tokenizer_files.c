#include "checkpoint/tokenizer_files.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/files.h"
#include "base/log.h"
#include "checkpoint/checksums.h"

const char *const tokenizer_file_names[TOKENIZER_FILES] = {"tokenizer.json",
                                                           "tokenizer_config.json",
                                                           "special_tokens_map.json",
                                                           "added_tokens.json",
                                                           "tokenizer.model",
                                                           "vocab.json",
                                                           "merges.txt",
                                                           "vocab.txt",
                                                           "chat_template.jinja"};

bool tokenizer_files_any(const TokenizerFiles *files) {
    for (int i = 0; i < TOKENIZER_FILES; i++)
        if (files->file[i].content) return true;
    return false;
}

uint32_t tokenizer_files_crc(const TokenizerFiles *files) {
    uint32_t crc = 0;
    for (int i = 0; i < TOKENIZER_FILES; i++)
        if (files->file[i].content) crc = crc_update(crc, files->file[i].content, files->file[i].bytes);
    return crc;
}

Status tokenizer_files_read(const char *folder, const json_t *state, TokenizerFiles *files) {
    Status status = OK;
    *files = (TokenizerFiles){0};
    for (int i = 0; i < TOKENIZER_FILES && status == OK; i++) {
        TokenizerFile *file = &files->file[i];
        status = checksums_read_file(state, folder, tokenizer_file_names[i], &file->content, &file->bytes);
    }
    if (status) tokenizer_files_free(files);
    return status;
}

Status tokenizer_files_of_model(const char *folder, TokenizerFiles *files) {
    json_t *state;
    *files = (TokenizerFiles){0};
    Status status = checksums_state(folder, &state);
    if (status == OK) status = tokenizer_files_read(folder, state, files);
    json_decref(state);
    return status;
}

Status tokenizer_files_open(const TokenizerFiles *files, const char *from, Tokenizer **tokenizer) {
    TokenizerText text[2]; /* the first two files of tokenizer_file_names */
    char *name[2];
    *tokenizer = NULL;
    if (!files->file[0].content) return OK;
    for (int i = 0; i < 2; i++) {
        name[i] = path_join(from, tokenizer_file_names[i]);
        text[i] = (TokenizerText){name[i], files->file[i].content, files->file[i].bytes};
    }
    const Status status = tokenizer_from_texts(&text[0], &text[1], tokenizer);
    for (int i = 0; i < 2; i++) free(name[i]);
    return status;
}

Status tokenizer_of_model(const char *folder, Tokenizer **tokenizer) {
    TokenizerFiles files;
    *tokenizer = NULL;
    Status status = tokenizer_files_of_model(folder, &files);
    if (status == OK) status = tokenizer_files_open(&files, folder, tokenizer);
    tokenizer_files_free(&files);
    return status;
}

void tokenizer_files_free(TokenizerFiles *files) {
    for (int i = 0; i < TOKENIZER_FILES; i++) free(files->file[i].content);
    *files = (TokenizerFiles){0};
}
