/* The files of a Hugging Face tokenizer. They are copied byte for byte from tools/prepare.py into the token file, from
 * there into every checkpoint, and from checkpoints into exports. */
#ifndef FLAME_CHECKPOINT_TOKENIZER_FILES_H
#define FLAME_CHECKPOINT_TOKENIZER_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "text/tokenizer.h"

enum { TOKENIZER_FILES = 9, TOKENIZER_BYTES_MAX = 256 << 20 };
extern const char *const tokenizer_file_names[TOKENIZER_FILES];

/* The contents of the files, in the order of tokenizer_file_names. content NULL: there is no such file. All zero: no
 * tokenizer. */
typedef struct TokenizerFile {
    char *content;
    int64_t bytes;
} TokenizerFile;
typedef struct TokenizerFiles {
    TokenizerFile file[TOKENIZER_FILES];
} TokenizerFiles;

/* Whether there is at least one file. */
bool tokenizer_files_any(const TokenizerFiles *files);
/* The CRC-32 of all contents, concatenated. */
uint32_t tokenizer_files_crc(const TokenizerFiles *files);
/* Reads the files that `folder` has. IO_ERROR (logged) if one cannot be read. */
Status tokenizer_files_read(const char *folder, TokenizerFiles *files);
/* Opens the tokenizer of the files; *tokenizer is NULL if they have no tokenizer.json. `from` says in messages where
 * the files are from. BAD_INPUT (logged) in the same cases as tokenizer_open. */
Status tokenizer_files_open(const TokenizerFiles *files, const char *from, Tokenizer **tokenizer);
void tokenizer_files_free(TokenizerFiles *files);

#endif
