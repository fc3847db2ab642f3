/* The files of a Hugging Face tokenizer. They are copied byte for byte from tools/prepare.py into the token file, from
 * there into every checkpoint, and from checkpoints into exports. */
#ifndef FLAME_CHECKPOINT_TOKENIZER_FILES_H
#define FLAME_CHECKPOINT_TOKENIZER_FILES_H

#include <jansson.h>
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
/* Reads the files that `folder` has. BAD_INPUT (logged) if one is not as `state` says (checkpoint/checksums.h),
 * IO_ERROR if one cannot be read. */
Status tokenizer_files_read(const char *folder, const json_t *state, TokenizerFiles *files);
/* The same for a folder with weights, which may have a state.json. */
Status tokenizer_files_of_model(const char *folder, TokenizerFiles *files);
/* Opens their tokenizer; *tokenizer is NULL if they have no tokenizer.json. `from`: where they are from, for messages.
 * BAD_INPUT (logged) as of tokenizer_open. */
Status tokenizer_files_open(const TokenizerFiles *files, const char *from, Tokenizer **tokenizer);
/* Both: opens the tokenizer of a folder with weights. */
Status tokenizer_of_model(const char *folder, Tokenizer **tokenizer);
void tokenizer_files_free(TokenizerFiles *files);

#endif
