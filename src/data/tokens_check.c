/* The rules of docs/data-format.md. */
#include "data/tokens_internal.h"

#include "base/log.h"
#include "base/crc.h"
#include "data/tokens_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In a file without /chunk_crc32, only a check of the chunk table can find damage. HDF5 looks up each entry by walking
 * the table from its start: quadratic time, which is seconds for this many chunks and minutes for ten times as many.
 * Larger tables are not checked. */
enum { TABLE_CHECK_CHUNKS = 16384 };

Status tokens_refuse(const TokensFile *file, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_error("%s: %s", file->path, text);
    return BAD_INPUT;
}

static void *allocate(int64_t count, int64_t size) {
    return count <= INT64_MAX / 16 ? calloc((size_t)count + 1, (size_t)size) : NULL;
}

static Status no_memory(const TokensFile *file, const char *what, int64_t count) {
    log_error("%s: no memory for %s (%lld entries); use several smaller files", file->path, what, (long long)count);
    return IO_ERROR;
}

Status tokens_read_integer(TokensFile *file, const char *name, int64_t minimum, int64_t maximum, int64_t *value) {
    if (H5Aexists(file->file, name) <= 0)
        return tokens_refuse(file, "attribute \"%s\" is missing; build the file with data build or tools/prepare.py",
                             name);
    hid_t attribute = H5Aopen(file->file, name, H5P_DEFAULT);
    hid_t type = attribute < 0 ? -1 : H5Aget_type(attribute);
    hid_t space = attribute < 0 ? -1 : H5Aget_space(attribute);
    bool usable = type >= 0 && H5Tget_class(type) == H5T_INTEGER && space >= 0 &&
                  H5Sget_simple_extent_npoints(space) == 1 && H5Aread(attribute, H5T_NATIVE_INT64, value) >= 0;
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (attribute >= 0) H5Aclose(attribute);
    if (!usable) return tokens_refuse(file, "attribute \"%s\" is not one integer", name);
    if (*value < minimum || *value > maximum)
        return tokens_refuse(file, "attribute \"%s\" is %lld, which is outside %lld .. %lld", name, (long long)*value,
                             (long long)minimum, (long long)maximum);
    return OK;
}

static Status read_string(TokensFile *file, const char *name, char *text, size_t capacity) {
    if (H5Aexists(file->file, name) <= 0)
        return tokens_refuse(file, "attribute \"%s\" is missing; build the file with data build or tools/prepare.py",
                             name);
    hid_t attribute = H5Aopen(file->file, name, H5P_DEFAULT);
    bool usable = attribute >= 0 && tokens_text_read(attribute, file->path, text, capacity);
    if (attribute >= 0) H5Aclose(attribute);
    return usable
               ? OK
               : tokens_refuse(file, "attribute \"%s\" is not one string shorter than %zu, or damaged", name, capacity);
}

static Status read_attributes(TokensFile *file) {
    char format[64];
    int64_t version, complete;
    Status status = read_string(file, "format", format, sizeof format);
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
    if ((status = read_string(file, "tokenizer", file->tokenizer, sizeof file->tokenizer))) return status;
    return read_string(file, "tokenizer_sha256", file->tokenizer_sha256, sizeof file->tokenizer_sha256);
}

static herr_t append_name(hid_t group, const char *name, const H5L_info_t *info, void *names) {
    (void)group, (void)info;
    size_t used = strlen(names);
    snprintf((char *)names + used, 256 - used, "%s%s", used ? ", " : "", name);
    return 0;
}

/* Opens a data set of this file. Soft and external links are refused. */
static Status open_dataset(TokensFile *file, const char *name, hid_t *dataset) {
    H5L_info_t link;
    if (H5Lexists(file->file, name, H5P_DEFAULT) <= 0 || H5Lget_info(file->file, name, &link, H5P_DEFAULT) < 0) {
        char names[256] = "";
        H5Literate(file->file, H5_INDEX_NAME, H5_ITER_INC, NULL, append_name, names);
        return tokens_refuse(file, "has no data set /%s (it holds: %s); build it with data build or tools/prepare.py",
                             name, names[0] ? names : "nothing");
    }
    if (link.type != H5L_TYPE_HARD)
        return tokens_refuse(file, "/%s is %s link; copy the data into the file itself", name,
                             link.type == H5L_TYPE_EXTERNAL ? "an external" : "a soft");
    *dataset = H5Oopen(file->file, name, H5P_DEFAULT);
    if (*dataset < 0)
        return tokens_refuse(
            file, "/%s cannot be opened: damaged, or written for a newer HDF5 (write it without libver=\"latest\")",
            name);
    if (H5Iget_type(*dataset) != H5I_DATASET) return tokens_refuse(file, "/%s is a group, not a data set", name);
    return OK;
}

/* Accepts only shuffle and deflate, which chunk_codec.h implements; for others HDF5 would load a plug-in that the file
 * chooses. */
static Status check_storage(TokensFile *file, const char *name, hid_t plist, ChunkCodec *codec) {
    if (H5Pget_external_count(plist) != 0)
        return tokens_refuse(file, "/%s is stored in external files; copy the data into the file itself", name);
    if (H5Pget_layout(plist) == H5D_VIRTUAL)
        return tokens_refuse(file, "/%s is a virtual data set; copy the data into the file itself", name);
    int filters = H5Pget_nfilters(plist);
    int place = 0;
    for (; place < filters; place++) {
        unsigned flags, settings;
        size_t values = 0;
        char filter_name[64] = "";
        H5Z_filter_t filter =
            H5Pget_filter2(plist, (unsigned)place, &flags, &values, NULL, sizeof filter_name, filter_name, &settings);
        if (filter == H5Z_FILTER_SHUFFLE && place == 0)
            codec->shuffle = true;
        else if (filter == H5Z_FILTER_DEFLATE && !codec->deflate)
            codec->deflate = true;
        else
            return tokens_refuse(file, "/%s uses filter %d%s%s; only shuffle, then deflate (gzip) can be read", name,
                                 (int)filter, filter_name[0] ? ": " : "", filter_name);
    }
    return OK;
}

/* Checks that a data set is 1-D, unsigned and little-endian, of width `width` or `other` (pass one twice if only that
 * is allowed). */
static Status check_type(TokensFile *file, const char *name, hid_t dataset, size_t width, size_t other, int64_t *count,
                         int *found_width) {
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    Status status = OK;
    hsize_t dimension = 0;
    size_t size = type < 0 ? 0 : H5Tget_size(type);
    bool right_type = size && H5Tget_class(type) == H5T_INTEGER && H5Tget_sign(type) == H5T_SGN_NONE &&
                      H5Tget_order(type) == H5T_ORDER_LE && (size == width || size == other) &&
                      H5Tget_precision(type) == 8 * size;
    bool right_space =
        space >= 0 && H5Sget_simple_extent_ndims(space) == 1 && H5Sget_simple_extent_dims(space, &dimension, NULL) == 1;
    if (!right_type && width != other)
        status = tokens_refuse(file, "/%s must be uint%zu or uint%zu, little-endian", name, 8 * width, 8 * other);
    else if (!right_type)
        status = tokens_refuse(file, "/%s must be uint%zu, little-endian", name, 8 * width);
    else if (!right_space)
        status = tokens_refuse(file, "/%s must have one dimension", name);
    else if (dimension == 0)
        status = tokens_refuse(file, "/%s is empty", name);
    else if (dimension > (hsize_t)INT64_MAX / 16)
        status = tokens_refuse(file, "/%s has an impossible length", name);
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    *count = (int64_t)dimension;
    *found_width = (int)size;
    return status;
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
    file->stored_size = allocate(facts->chunks, sizeof *file->stored_size);
    if (!file->stored_size) return no_memory(file, "the chunk table", facts->chunks);
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
    Extent *extents = allocate(facts->chunks, sizeof *extents);
    hid_t space = H5Dget_space(file->tokens);
    Status status = extents ? OK : no_memory(file, "the chunk table", facts->chunks);
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

Status tokens_read_table(TokensFile *file, const char *name, hid_t memory_type, size_t width, int64_t expected,
                         int64_t largest, void **table, int64_t *count) {
    hid_t dataset = -1, plist = -1;
    ChunkCodec codec = {0};
    int found;
    Status status = open_dataset(file, name, &dataset);
    if (!status && (plist = H5Dget_create_plist(dataset)) < 0) status = tokens_refuse(file, "/%s is damaged", name);
    if (!status) status = check_storage(file, name, plist, &codec);
    if (!status) status = check_type(file, name, dataset, width, width, count, &found);
    if (!status && expected && *count != expected)
        status =
            tokens_refuse(file, "/%s has %lld entries instead of %lld", name, (long long)*count, (long long)expected);
    if (!status && *count > largest)
        status =
            tokens_refuse(file, "/%s has %lld entries, more than %lld", name, (long long)*count, (long long)largest);
    if (!status && !(*table = allocate(*count, (int64_t)width))) status = no_memory(file, name, *count);
    if (!status && H5Dread(dataset, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, *table) < 0)
        status = tokens_refuse(file, "/%s cannot be read; the file is damaged: build it again", name);
    if (plist >= 0) H5Pclose(plist);
    if (dataset >= 0) H5Oclose(dataset);
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
    Status status = open_dataset(file, "tokens", &file->tokens);
    if (!status) status = check_type(file, "tokens", file->tokens, 2, 4, &facts->tokens, &facts->width);
    if (status) return status;
    hid_t plist = H5Dget_create_plist(file->tokens);
    if (plist < 0) return tokens_refuse(file, "/tokens is damaged; build the file again");
    status = check_storage(file, "tokens", plist, &file->codec);
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
