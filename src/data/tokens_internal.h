/* Shared by the two halves of the token reader: the rules (tokens_check.c) and the reading (tokens_h5.c). */
#ifndef FLAME_DATA_TOKENS_INTERNAL_H
#define FLAME_DATA_TOKENS_INTERNAL_H

#include "base/check.h"
#include "checkpoint/tokenizer_files.h"
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
    TokenizerFiles tokenizer_files;
    uint32_t *chunk_crc32;
    uint32_t *stored_size;       /* [chunks] bytes as compressed */
    atomic_bool told_vocabulary; /* that the attribute is too small */
} TokensFile;

/* Logs "path: ..." as an error; always BAD_INPUT. */
Status tokens_refuse(const TokensFile *file, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Attribute `name` of the root: one integer within the bounds. */
Status tokens_read_integer(TokensFile *file, const char *name, int64_t minimum, int64_t maximum, int64_t *value);
/* All of a small 1-D data set, as it stands in memory, into new memory. expected: its entries, 0: any, up to
 * `largest`. */
Status tokens_read_table(TokensFile *file, const char *name, hid_t memory_type, size_t width, int64_t expected,
                         int64_t largest, void **table, int64_t *count);

/* The tokenizer's files, if the file has them (tokens_tokenizer.c). */
Status tokens_check_tokenizer(TokensFile *file);

/* Every rule of the format but those on the content of chunks. file->file is open; fills facts and tables, which stay
 * the file's. Called with the HDF5 lock held. */
Status tokens_check(TokensFile *file);

#endif
