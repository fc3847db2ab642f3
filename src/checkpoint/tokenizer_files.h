/* The files of a Hugging Face tokenizer. They travel as they are: from tools/prepare.py into the token file, from there
 * into every checkpoint, from there into exports. */
#ifndef FLAME_CHECKPOINT_TOKENIZER_FILES_H
#define FLAME_CHECKPOINT_TOKENIZER_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"

enum { TOKENIZER_FILES = 9, TOKENIZER_BYTES_MAX = 256 << 20 };
extern const char *const tokenizer_file_names[TOKENIZER_FILES];

/* In the order of their names above; content NULL: there is no such file. All zero: no tokenizer. */
typedef struct TokenizerFile {
    char *content;
    int64_t bytes;
} TokenizerFile;
typedef struct TokenizerFiles {
    TokenizerFile file[TOKENIZER_FILES];
} TokenizerFiles;

bool tokenizer_files_any(const TokenizerFiles *files);
/* Of all contents, one behind the other. */
uint32_t tokenizer_files_crc(const TokenizerFiles *files);
/* Those of a folder. IO_ERROR (logged) if one cannot be read. */
Status tokenizer_files_read(const char *folder, TokenizerFiles *files);
void tokenizer_files_free(TokenizerFiles *files);

#endif
