#include "checkpoint/tokenizer_files.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/files.h"
#include "base/log.h"

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

Status tokenizer_files_read(const char *folder, TokenizerFiles *files) {
    *files = (TokenizerFiles){0};
    for (int i = 0; i < TOKENIZER_FILES; i++) {
        TokenizerFile *file = &files->file[i];
        char *path = path_join(folder, tokenizer_file_names[i]);
        const int error =
            file_exists(path) ? file_read_all(path, TOKENIZER_BYTES_MAX, &file->content, &file->bytes) : 0;
        if (error) log_error("reading %s: %s", path, strerror(error));
        free(path);
        if (error) {
            tokenizer_files_free(files);
            return IO_ERROR;
        }
    }
    return OK;
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

void tokenizer_files_free(TokenizerFiles *files) {
    for (int i = 0; i < TOKENIZER_FILES; i++) free(files->file[i].content);
    *files = (TokenizerFiles){0};
}
