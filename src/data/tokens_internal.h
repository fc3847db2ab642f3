/* Shared by the two halves of the token reader: the rules (tokens_check.c) and the reading (tokens_h5.c). */
#ifndef FLAME_DATA_TOKENS_INTERNAL_H
#define FLAME_DATA_TOKENS_INTERNAL_H

#include "base/check.h"
#include "data/chunk_codec.h"
#include "data/tokens_facts.h"

#include <hdf5.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>

typedef struct TokensFile {
    TokensFacts facts;
    char path[TOKENS_NAME_MAX], tokenizer[TOKENS_NAME_MAX], tokenizer_sha256[65];
    hid_t file, tokens;
    ChunkCodec codec;
    struct stat identity;
    uint64_t *doc_ends;
    uint32_t *chunk_crc32;
    uint32_t *stored_size;       /* [chunks] bytes as compressed */
    atomic_bool told_vocabulary; /* that the attribute is too small */
} TokensFile;

/* Logs "path: ..." as an error; always BAD_INPUT. */
Status tokens_refuse(const TokensFile *file, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Every rule of the format but those on the content of chunks. file->file is open; fills facts and tables, which stay
 * the file's. Called with the HDF5 lock held. */
Status tokens_check(TokensFile *file);

#endif
