/* Shared by the parts of the token reader: attributes and data sets (tokens_fields.c), the rules of
 * the format (tokens_check.c, tokens_tokenizer.c) and the reading of chunks (tokens_h5.c). */
#ifndef FLAME_DATA_TOKENS_INTERNAL_H
#define FLAME_DATA_TOKENS_INTERNAL_H

#include "base/check.h"
#include "checkpoint/tokenizer_files.h"
#include "data/chunk_codec.h"
#include "data/tokens_facts.h"

#include <hdf5.h>
#include <stdatomic.h>
#include <sys/stat.h>

typedef struct TokensFile {
    TokensFacts facts;
    char path[TOKENS_NAME_MAX], tokenizer[TOKENS_NAME_MAX], tokenizer_sha256[65];
    hid_t file, tokens;
    ChunkCodec codec;
    struct stat identity; /* the file at the time of opening, to notice if it is replaced */
    uint64_t *doc_ends;
    TokenizerFiles tokenizer_files;
    uint32_t *chunk_crc32;
    uint32_t *stored_size;       /* [chunks], compressed bytes */
    atomic_bool told_vocabulary; /* the error that vocab_size is too small has been logged */
} TokensFile;

/* Logs "PATH: ..." as an error and returns BAD_INPUT. */
Status tokens_refuse(const TokensFile *file, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Memory for `count` entries of `size` bytes, zeroed; NULL if there is not enough, or count is absurd. */
void *tokens_allocate(int64_t count, int64_t size);
/* Logs that there is no memory for `what` and returns IO_ERROR. */
Status tokens_no_memory(const TokensFile *file, const char *what, int64_t count);

/* Reads attribute `name` of the root, one string. BAD_INPUT if it is missing or not shorter than `capacity`. */
Status tokens_read_string(TokensFile *file, const char *name, char *text, size_t capacity);
/* Reads attribute `name` of the root, one integer. BAD_INPUT if it is missing or outside minimum .. maximum. */
Status tokens_read_integer(TokensFile *file, const char *name, int64_t minimum, int64_t maximum, int64_t *value);
/* Opens a data set. BAD_INPUT unless it is in this file itself, as a hard link to a data set. The caller closes it,
 * also on BAD_INPUT. */
Status tokens_open_dataset(TokensFile *file, const char *name, hid_t *dataset);
/* BAD_INPUT unless the data set is stored in chunks in this file, with filters that this program decodes itself (for
 * others, HDF5 would load plug-ins that the file names). Sets `codec` to these filters. */
Status tokens_check_storage(TokensFile *file, const char *name, hid_t plist, ChunkCodec *codec);
/* BAD_INPUT unless the data set is 1-D and of unsigned little-endian integers of one of two widths in bytes, which may
 * be equal. */
Status tokens_check_type(TokensFile *file, const char *name, hid_t dataset, size_t width, size_t other, int64_t *count,
                         int *found_width);
/* Reads a whole 1-D data set of `width`-byte unsigned integers into new memory, which the caller frees. BAD_INPUT if it
 * has more than `largest` entries, or not exactly `expected` entries (0: any number). */
Status tokens_read_table(TokensFile *file, const char *name, hid_t memory_type, size_t width, int64_t expected,
                         int64_t largest, void **table, int64_t *count);

/* Reads and checks the group /tokenizer, if there is one. */
Status tokens_check_tokenizer(TokensFile *file);

/* Checks every rule of the format except those about the contents of chunks, and fills facts and tables, which `file`
 * owns. file->file is open. Called with the HDF5 lock held. */
Status tokens_check(TokensFile *file);

#endif
