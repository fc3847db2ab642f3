/* The rules of docs/data-format.md. */
#include "data/tokens_internal.h"

#include "base/log.h"
#include "base/crc.h"

#include <stdlib.h>
#include <string.h>

/* In a file without /chunk_crc32, only a check of the chunk table can find damage. HDF5 looks up each entry by walking
 * the table from its start: quadratic time, which is seconds for this many chunks and minutes for ten times as many.
 * Larger tables are not checked. */
enum { TABLE_CHECK_CHUNKS = 16384 };

static Status read_attributes(TokensFile *file) {
    char format[64];
    int64_t version, complete;
    Status status = tokens_read_string(file, "format", format, sizeof format);
    if (status) return status;
    if (strcmp(format, TOKENS_FORMAT))
        return tokens_refuse(file, "attribute \"format\" is \"%s\", not \"" TOKENS_FORMAT "\"", format);
    if ((status = tokens_read_integer(file, "version", 1, INT32_MAX, &version))) return status;
    if (version > TOKENS_VERSION)
        return tokens_refuse(file, "written in version %lld of the format; this program knows %d: use a newer one",
                             (long long)version, TOKENS_VERSION);
    if (H5Aexists(file->file, "complete") <= 0)
        return tokens_refuse(file,
                             "attribute \"complete\" is missing: the writer did not finish; build the file again");
    if ((status = tokens_read_integer(file, "complete", 1, 1, &complete))) return status;

    TokensFacts *facts = &file->facts;
    if ((status = tokens_read_integer(file, "vocab_size", 1, INT32_MAX, &facts->vocab_size))) return status;
    if ((status = tokens_read_integer(file, "bos_token_id", -1, facts->vocab_size - 1, &facts->bos_token_id)))
        return status;
    if ((status = tokens_read_integer(file, "eos_token_id", -1, facts->vocab_size - 1, &facts->eos_token_id)))
        return status;
    if ((status = tokens_read_string(file, "tokenizer", file->tokenizer, sizeof file->tokenizer))) return status;
    return tokens_read_string(file, "tokenizer_sha256", file->tokenizer_sha256, sizeof file->tokenizer_sha256);
}

static Status check_chunk_size(TokensFile *file, hid_t plist) {
    TokensFacts *facts = &file->facts;
    hsize_t length = 0;
    if (H5Pget_layout(plist) != H5D_CHUNKED || H5Pget_chunk(plist, 1, &length) != 1)
        return tokens_refuse(file, "/tokens is not chunked; rewrite it, e.g. h5repack -l tokens:CHUNK=65536 IN OUT");
    int64_t bytes = length <= TOKENS_CHUNK_BYTES_MAX ? (int64_t)length * facts->width : INT64_MAX;
    facts->chunk_tokens = (int64_t)length;
    facts->chunks = (facts->tokens - 1) / facts->chunk_tokens + 1;
    if (bytes > TOKENS_CHUNK_BYTES_MAX || (bytes < TOKENS_CHUNK_BYTES_MIN && facts->chunks > 1))
        return tokens_refuse(file, "/tokens has chunks of %llu tokens; a chunk must have 4 KiB to 64 MiB",
                             (unsigned long long)length);
    if (facts->chunks > facts->file_bytes)
        return tokens_refuse(file, "/tokens claims %lld tokens, more than a file of %lld bytes can hold",
                             (long long)facts->tokens, (long long)facts->file_bytes);
    file->codec.width = facts->width;
    file->codec.bytes = bytes;
    return OK;
}

/* Checks that every chunk exists and has a possible size. */
static Status check_chunks_present(TokensFile *file) {
    TokensFacts *facts = &file->facts;
    file->stored_size = tokens_allocate(facts->chunks, sizeof *file->stored_size);
    if (!file->stored_size) return tokens_no_memory(file, "the chunk table", facts->chunks);
    for (int64_t chunk = 0; chunk < facts->chunks; chunk++) {
        hsize_t offset = (hsize_t)(chunk * facts->chunk_tokens), size = 0;
        if (H5Dget_chunk_storage_size(file->tokens, &offset, &size) < 0 || size == 0)
            return tokens_refuse(file, "chunk %lld of %lld of /tokens is missing; the file is damaged: build it again",
                                 (long long)chunk, (long long)facts->chunks);
        if (size > (hsize_t)chunk_stored_max(&file->codec))
            return tokens_refuse(file, "chunk %lld of /tokens claims %llu bytes, too many for %lld tokens; damaged",
                                 (long long)chunk, (unsigned long long)size, (long long)facts->chunk_tokens);
        file->stored_size[chunk] = (uint32_t)size;
        facts->stored_bytes += (int64_t)size;
    }
    if (facts->stored_bytes > facts->file_bytes)
        return tokens_refuse(file, "the chunks of /tokens overlap; the file is damaged: build it again");
    return OK;
}

typedef struct Extent {
    haddr_t address;
    hsize_t size;
} Extent;

static int compare_extents(const void *a, const void *b) {
    haddr_t left = ((const Extent *)a)->address, right = ((const Extent *)b)->address;
    return left < right ? -1 : left > right;
}

/* For files without /chunk_crc32: checks that chunks do not overlap and do not end beyond the end of the file. */
static Status check_chunk_places(TokensFile *file) {
    TokensFacts *facts = &file->facts;
    bool checked = facts->chunks <= TABLE_CHECK_CHUNKS;
    if (log_rank() == 0)
        log_warning("%s: has no /chunk_crc32, so damage can go unnoticed%s; docs/data-format.md says how to add it",
                    file->path, checked ? "" : " (and its chunk table is too large to check)");
    if (!checked) return OK;
    Extent *extents = tokens_allocate(facts->chunks, sizeof *extents);
    hid_t space = H5Dget_space(file->tokens);
    Status status = extents ? OK : tokens_no_memory(file, "the chunk table", facts->chunks);
    for (int64_t i = 0; i < facts->chunks && !status; i++) {
        hsize_t offset;
        unsigned mask;
        if (H5Dget_chunk_info(file->tokens, space, (hsize_t)i, &offset, &mask, &extents[i].address, &extents[i].size) <
            0)
            status =
                tokens_refuse(file, "entry %lld of the chunk table of /tokens cannot be read; damaged", (long long)i);
    }
    if (!status) qsort(extents, (size_t)facts->chunks, sizeof *extents, compare_extents);
    for (int64_t i = 0; i < facts->chunks && !status; i++) {
        haddr_t end = i + 1 < facts->chunks ? extents[i + 1].address : (haddr_t)facts->file_bytes;
        if (extents[i].address > end || extents[i].size > end - extents[i].address)
            status =
                tokens_refuse(file, "chunks of /tokens overlap or reach beyond the end of the file; build it again");
    }
    H5Sclose(space);
    free(extents);
    return status;
}

static Status read_doc_ends(TokensFile *file) {
    TokensFacts *facts = &file->facts;
    Status status = tokens_read_table(file, "doc_ends", H5T_NATIVE_UINT64, 8, 0, facts->tokens,
                                      (void **)&file->doc_ends, &facts->documents);
    if (status) return status;
    uint64_t previous = 0;
    for (int64_t i = 0; i < facts->documents; i++) {
        if (file->doc_ends[i] <= previous)
            return tokens_refuse(file, "/doc_ends[%lld] = %llu is not greater than the entry before it", (long long)i,
                                 (unsigned long long)file->doc_ends[i]);
        previous = file->doc_ends[i];
    }
    if (previous != (uint64_t)facts->tokens)
        return tokens_refuse(file, "/doc_ends ends with %llu, but there are %lld tokens", (unsigned long long)previous,
                             (long long)facts->tokens);
    facts->doc_ends = file->doc_ends;
    if (H5Aexists(file->file, "doc_ends_crc32") <= 0) return OK;
    int64_t wanted;
    if ((status = tokens_read_integer(file, "doc_ends_crc32", 0, UINT32_MAX, &wanted))) return status;
    uint32_t found = crc_update(0, file->doc_ends, facts->documents * 8);
    return (int64_t)found == wanted ? OK
                                    : tokens_refuse(file, "/doc_ends does not match its CRC-32; build the file again");
}

static Status read_chunk_crcs(TokensFile *file) {
    if (H5Lexists(file->file, "chunk_crc32", H5P_DEFAULT) <= 0) return check_chunk_places(file);
    int64_t count;
    Status status = tokens_read_table(file, "chunk_crc32", H5T_NATIVE_UINT32, 4, file->facts.chunks, file->facts.tokens,
                                      (void **)&file->chunk_crc32, &count);
    file->facts.chunk_crc32 = file->chunk_crc32;
    return status;
}

static Status check_tokens(TokensFile *file) {
    TokensFacts *facts = &file->facts;
    Status status = tokens_open_dataset(file, "tokens", &file->tokens);
    if (!status) status = tokens_check_type(file, "tokens", file->tokens, 2, 4, &facts->tokens, &facts->width);
    if (status) return status;
    hid_t plist = H5Dget_create_plist(file->tokens);
    if (plist < 0) return tokens_refuse(file, "/tokens is damaged; build the file again");
    status = tokens_check_storage(file, "tokens", plist, &file->codec);
    if (!status) status = check_chunk_size(file, plist);
    H5Pclose(plist);
    return status ? status : check_chunks_present(file);
}

Status tokens_check(TokensFile *file) {
    Status status = check_tokens(file);
    if (!status) status = read_attributes(file);
    if (!status) status = read_doc_ends(file);
    if (!status) status = read_chunk_crcs(file);
    if (!status) status = tokens_check_tokenizer(file);
    return status;
}
