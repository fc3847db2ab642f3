/* The tokenizer that token files are built with, and what is stored about it in the files. */
#ifndef FLAME_DATA_BUILD_TOKENIZER_H
#define FLAME_DATA_BUILD_TOKENIZER_H

#include "base/sha256.h"
#include "checkpoint/tokenizer_files.h"
#include "data/tokens_facts.h"
#include "text/tokenizer.h"

typedef struct BuildTokenizer {
    Tokenizer *tokenizer;
    char name[TOKENS_NAME_MAX], sha256[SHA256_TEXT]; /* sha256: of tokenizer.json; "" for the built-in one */
    int64_t bos, eos;                                /* the tokens around a document; -1: none */
    bool any_bytes;                                  /* text may be cut anywhere, since each byte is a token */
    TokenizerFiles files;
} BuildTokenizer;

/* `path`: as for tokenizer_open. `bos`, `eos`: a token or its id, "none", or "auto" for what tokenizer_config.json
 * names. If there is no tokenizer_config.json beside the tokenizer, `files` gets one that names these two tokens.
 * BAD_INPUT or IO_ERROR (logged) if the tokenizer cannot be used. The caller calls build_tokenizer_close, also on
 * failure. */
Status build_tokenizer_open(const char *path, const char *bos, const char *eos, BuildTokenizer *build);
void build_tokenizer_close(BuildTokenizer *build);

#endif
