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
#include <stdbool.h>
#include <sys/stat.h>

typedef struct TokensFile {
    TokensFacts facts;
    char path[TOKENS_NAME_MAX], tokenizer[TOKENS_NAME_MAX], tokenizer_sha256[65];
    hid_t file, tokens;
    ChunkCodec codec;
    struct stat identity; /* at the time of opening, to notice that the file is replaced */
    uint64_t *doc_ends;
    TokenizerFiles tokenizer_files;
    uint32_t *chunk_crc32;
    uint32_t *stored_size;       /* [chunks], compressed bytes */
    atomic_bool told_vocabulary; /* the error about a too small vocab_size has been logged */
} TokensFile;

/* Logs "path: ..." as an error; always BAD_INPUT. */
Status tokens_refuse(const TokensFile *file, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Memory for `count` entries of `size` bytes, zeroed; NULL if there is not enough, or count is absurd. */
void *tokens_allocate(int64_t count, int64_t size);
/* Logs that there is no memory for `what`; always IO_ERROR. */
Status tokens_no_memory(const TokensFile *file, const char *what, int64_t count);

/* Reads attribute `name` of the root, one string. BAD_INPUT if it is missing or not shorter than `capacity`. */
Status tokens_read_string(TokensFile *file, const char *name, char *text, size_t capacity);
/* Reads attribute `name` of the root, one integer. BAD_INPUT if it is missing or outside minimum .. maximum. */
Status tokens_read_integer(TokensFile *file, const char *name, int64_t minimum, int64_t maximum, int64_t *value);
/* Opens a data set that is really in this file: a hard link, not a group. The caller closes it, also on BAD_INPUT. */
Status tokens_open_dataset(TokensFile *file, const char *name, hid_t *dataset);
/* BAD_INPUT unless the data set is stored in the file's own chunks, with filters that this program undoes itself
 * (others would load plug-ins named by the file), which `codec` receives. */
Status tokens_check_storage(TokensFile *file, const char *name, hid_t plist, ChunkCodec *codec);
/* BAD_INPUT unless the data set is 1-D and of unsigned little-endian integers of one of two widths in bytes, which may
 * be equal. */
Status tokens_check_type(TokensFile *file, const char *name, hid_t dataset, size_t width, size_t other, int64_t *count,
                         int *found_width);
/* Reads a whole 1-D data set of `width`-byte unsigned integers into new memory, which the caller frees. BAD_INPUT if it
 * has more than `largest` entries, or other than `expected` (0: any number). */
Status tokens_read_table(TokensFile *file, const char *name, hid_t memory_type, size_t width, int64_t expected,
                         int64_t largest, void **table, int64_t *count);

/* Reads and checks the group /tokenizer, if there is one. */
Status tokens_check_tokenizer(TokensFile *file);

/* Checks every rule of the format except those about the contents of chunks, and fills facts and tables, which `file`
 * owns. file->file is open. Called with the HDF5 lock held. */
Status tokens_check(TokensFile *file);

#endif
