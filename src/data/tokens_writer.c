#include "data/tokens_writer.h"

#include "base/log.h"
#include "data/chunk_codec.h"
#include "base/crc.h"
#include "base/files.h"
#include "base/unfinished.h"
#include "data/hdf5.h"
#include "data/tokens_h5.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BATCH_CHUNKS = 16 };  /* chunks that are deflated at a time, in parallel */
enum { TABLE_CHUNK = 8192 }; /* entries per chunk of the small data sets */
enum { TEMPORARY_NAME_MAX = TOKENS_NAME_MAX + 32 };

struct TokensWriter {
    TokensWriterOptions options;
    char path[TOKENS_NAME_MAX], temporary[TEMPORARY_NAME_MAX];
    hid_t file, tokens;
    ChunkCodec codec;
    unsigned char *batch;   /* [BATCH_CHUNKS][codec.bytes], tokens that are not written yet */
    int64_t batch_tokens;   /* number of tokens in `batch` */
    int64_t written_tokens; /* tokens written before the batch; a multiple of chunk_tokens */
    unsigned char *planes, *stored;
    int64_t stored_size[BATCH_CHUNKS];
    uint64_t *doc_ends;
    int64_t documents, documents_capacity;
    uint32_t *chunk_crc32;
    int64_t chunks, chunks_capacity;
};

TokensWriterOptions tokens_writer_bytes_options(const char *path) {
    return (TokensWriterOptions){.path = path,
                                 .width = 2,
                                 .chunk_tokens = TOKENS_CHUNK_DEFAULT,
                                 .level = TOKENS_LEVEL_DEFAULT,
                                 .vocab_size = BYTES_VOCAB_SIZE,
                                 .bos_token_id = BYTES_BOS,
                                 .eos_token_id = BYTES_EOS,
                                 .tokenizer = "bytes",
                                 .tokenizer_sha256 = ""};
}

static Status failed(const TokensWriter *writer, const char *what) {
    log_error("%s: %s failed; is the disk full or read-only? No partial file was left", writer->path, what);
    return IO_ERROR;
}

static void *grow(void *array, int64_t used, int64_t *capacity, size_t size) {
    if (used < *capacity) return array;
    *capacity = *capacity ? 2 * *capacity : 1024;
    array = realloc(array, (size_t)*capacity * size);
    CHECK_MEMORY(array, "no memory for a table of %lld entries", (long long)*capacity);
    return array;
}

/* Creates an empty file and the folders above it, because HDF5 does not report why it could not. */
static Status create_empty(const TokensWriter *writer) {
    int descriptor;
    remove(writer->temporary); /* left by a dead process with the same process id */
    int error = folder_create_above(writer->temporary);
    if (!error) error = file_create(writer->temporary, &descriptor);
    if (!error) error = file_close(descriptor);
    if (error) log_error("%s: cannot be created: %s", writer->path, strerror(error));
    return error ? IO_ERROR : OK;
}

/* A property list for objects without a time stamp, so that the same tokens always give the same bytes. */
static hid_t timeless(hid_t class) {
    hid_t plist = H5Pcreate(class);
    H5Pset_obj_track_times(plist, false);
    return plist;
}

/* HDF5 1.10's format has checksums of its metadata, so that more kinds of damage are found. */
static hid_t create_hdf5(const char *path) {
    hid_t creation = timeless(H5P_FILE_CREATE), access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
    H5Pset_file_locking(access, false, true);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, creation, access);
    H5Pclose(access);
    H5Pclose(creation);
    return file;
}

static hid_t create_tokens(const TokensWriter *writer) {
    hsize_t none = 0, unlimited = H5S_UNLIMITED, chunk = (hsize_t)writer->options.chunk_tokens;
    hid_t space = H5Screate_simple(1, &none, &unlimited), plist = timeless(H5P_DATASET_CREATE);
    H5Pset_chunk(plist, 1, &chunk);
    H5Pset_shuffle(plist);
    H5Pset_deflate(plist, (unsigned)writer->options.level);
    hid_t type = writer->options.width == 2 ? H5T_STD_U16LE : H5T_STD_U32LE;
    hid_t dataset = H5Dcreate2(writer->file, "tokens", type, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    H5Pclose(plist);
    H5Sclose(space);
    return dataset;
}

static void temporary_of(const char *path, char temporary[TEMPORARY_NAME_MAX]) {
    snprintf(temporary, TEMPORARY_NAME_MAX, "%s.%ld.tmp", path, (long)getpid());
}

bool tokens_writer_writes(const TokensWriter *writer, const char *path) {
    char temporary[TEMPORARY_NAME_MAX];
    struct stat own, other;
    temporary_of(path, temporary);
    return stat(writer->temporary, &own) == 0 && stat(temporary, &other) == 0 && own.st_dev == other.st_dev &&
           own.st_ino == other.st_ino;
}

Status tokens_writer_open(const TokensWriterOptions *options, TokensWriter **result) {
    const bool folder = folder_exists(options->path);
    if (folder || (path_exists(options->path) && !options->force)) {
        log_error("%s: %s", options->path,
                  folder ? "is a folder; give the name of a file"
                         : "exists already; give another name, or --force to replace it");
        return BAD_INPUT;
    }
    TokensWriter *writer = calloc(1, sizeof *writer);
    CHECK_MEMORY(writer, "no memory to write %s", options->path);
    writer->options = *options;
    snprintf(writer->path, sizeof writer->path, "%s", options->path);
    temporary_of(writer->path, writer->temporary);
    writer->codec = (ChunkCodec){true, true, options->width, options->chunk_tokens * options->width};
    hdf5_prepare();
    writer->file = writer->tokens = -1;
    unfinished_add(writer->temporary);
    Status status = create_empty(writer);
    if (!status && (writer->file = create_hdf5(writer->temporary)) >= 0) writer->tokens = create_tokens(writer);
    if (!status && writer->tokens < 0) status = failed(writer, "creating the file");
    if (status) {
        tokens_writer_abandon(writer);
        return status;
    }
    writer->batch = calloc(BATCH_CHUNKS, (size_t)writer->codec.bytes);
    writer->planes = malloc((size_t)(BATCH_CHUNKS * writer->codec.bytes));
    writer->stored = malloc((size_t)(BATCH_CHUNKS * chunk_stored_max(&writer->codec)));
    CHECK_MEMORY(writer->batch && writer->planes && writer->stored, "no memory for chunks of %lld bytes",
                 (long long)writer->codec.bytes);
    *result = writer;
    return OK;
}

/* Deflates the chunks of the batch in parallel and writes them in order. The last chunk is padded with zeros. */
static Status write_batch(TokensWriter *writer) {
    const ChunkCodec *codec = &writer->codec;
    int64_t length = writer->options.chunk_tokens, stored_max = chunk_stored_max(codec);
    int chunks = (int)((writer->batch_tokens + length - 1) / length);
    int64_t first_chunk = writer->written_tokens / length;
    for (int i = 0; i < chunks; i++)
        writer->chunk_crc32 = grow(writer->chunk_crc32, first_chunk + i, &writer->chunks_capacity, sizeof(uint32_t));
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < chunks; i++) {
        const unsigned char *tokens = writer->batch + i * codec->bytes;
        int64_t left = writer->batch_tokens - i * length, count = left < length ? left : length;
        writer->chunk_crc32[first_chunk + i] = crc_update(0, tokens, count * codec->width);
        writer->stored_size[i] = chunk_encode(codec, writer->options.level, tokens, writer->planes + i * codec->bytes,
                                              writer->stored + i * stored_max);
    }
    hsize_t extent = (hsize_t)(writer->written_tokens + writer->batch_tokens);
    if (H5Dset_extent(writer->tokens, &extent) < 0) return failed(writer, "writing");
    for (int i = 0; i < chunks; i++) {
        hsize_t offset = (hsize_t)((first_chunk + i) * length);
        if (H5Dwrite_chunk(writer->tokens, H5P_DEFAULT, 0, &offset, (size_t)writer->stored_size[i],
                           writer->stored + i * stored_max) < 0)
            return failed(writer, "writing");
    }
    writer->chunks = first_chunk + chunks;
    writer->written_tokens += writer->batch_tokens;
    writer->batch_tokens = 0;
    memset(writer->batch, 0, (size_t)(BATCH_CHUNKS * codec->bytes));
    return OK;
}

Status tokens_writer_add(TokensWriter *writer, const uint32_t *tokens, int64_t count) {
    int64_t capacity = BATCH_CHUNKS * writer->options.chunk_tokens;
    while (count > 0) {
        int64_t room = capacity - writer->batch_tokens, part = count < room ? count : room;
        if (writer->options.width == 2) {
            uint16_t *to = (uint16_t *)(void *)writer->batch + writer->batch_tokens;
            for (int64_t i = 0; i < part; i++) to[i] = (uint16_t)tokens[i];
        } else {
            memcpy(writer->batch + 4 * writer->batch_tokens, tokens, (size_t)part * 4);
        }
        writer->batch_tokens += part;
        tokens += part;
        count -= part;
        Status status = writer->batch_tokens == capacity ? write_batch(writer) : OK;
        if (status) return status;
    }
    return OK;
}

int64_t tokens_writer_tokens(const TokensWriter *writer) { return writer->written_tokens + writer->batch_tokens; }
int64_t tokens_writer_documents(const TokensWriter *writer) { return writer->documents; }

void tokens_writer_end_document(TokensWriter *writer) {
    uint64_t end = (uint64_t)tokens_writer_tokens(writer);
    uint64_t previous = writer->documents ? writer->doc_ends[writer->documents - 1] : 0;
    if (end == previous) return;
    writer->doc_ends = grow(writer->doc_ends, writer->documents, &writer->documents_capacity, sizeof(uint64_t));
    writer->doc_ends[writer->documents++] = end;
}

static bool write_table(const TokensWriter *writer, const char *name, hid_t stored, hid_t memory, const void *values,
                        int64_t count) {
    hsize_t size = (hsize_t)count, chunk = count < TABLE_CHUNK ? size : TABLE_CHUNK;
    hid_t space = H5Screate_simple(1, &size, NULL), plist = timeless(H5P_DATASET_CREATE);
    H5Pset_chunk(plist, 1, &chunk);
    H5Pset_shuffle(plist);
    H5Pset_deflate(plist, (unsigned)writer->options.level);
    hid_t dataset = H5Dcreate2(writer->file, name, stored, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    bool done = dataset >= 0 && H5Dwrite(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0;
    if (dataset >= 0) done = H5Dclose(dataset) >= 0 && done;
    H5Pclose(plist);
    H5Sclose(space);
    return done;
}

static bool write_integer(const TokensWriter *writer, const char *name, int64_t value) {
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(writer->file, name, H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT);
    bool done = attribute >= 0 && H5Awrite(attribute, H5T_NATIVE_INT64, &value) >= 0;
    if (attribute >= 0) H5Aclose(attribute);
    H5Sclose(space);
    return done;
}

static bool write_string(const TokensWriter *writer, const char *name, const char *text) {
    hid_t space = H5Screate(H5S_SCALAR), type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, *text ? strlen(text) : 1); /* without a zero byte: a digest fills the reader's buffer */
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    H5Tset_cset(type, H5T_CSET_UTF8);
    hid_t attribute = H5Acreate2(writer->file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    bool done = attribute >= 0 && H5Awrite(attribute, type, text) >= 0;
    if (attribute >= 0) H5Aclose(attribute);
    H5Tclose(type);
    H5Sclose(space);
    return done;
}

static bool write_tokenizer(const TokensWriter *writer) {
    const TokenizerFiles *files = writer->options.tokenizer_files;
    if (!files) return true;
    hid_t plist = timeless(H5P_GROUP_CREATE);
    hid_t group = H5Gcreate2(writer->file, "tokenizer", H5P_DEFAULT, plist, H5P_DEFAULT);
    H5Pclose(plist);
    bool done = group >= 0 && H5Gclose(group) >= 0;
    for (int i = 0; i < TOKENIZER_FILES && done; i++) {
        char name[64];
        snprintf(name, sizeof name, "tokenizer/%s", tokenizer_file_names[i]);
        if (files->file[i].bytes > 0)
            done =
                write_table(writer, name, H5T_STD_U8LE, H5T_NATIVE_UINT8, files->file[i].content, files->file[i].bytes);
    }
    return done && write_integer(writer, "tokenizer_crc32", tokenizer_files_crc(files));
}

/* Writes the attribute "complete" last, after a flush: a file that has it has everything else. */
static bool write_tables(TokensWriter *writer) {
    const TokensWriterOptions *options = &writer->options;
    uint32_t crc = crc_update(0, writer->doc_ends, writer->documents * (int64_t)sizeof *writer->doc_ends);
    return H5Dclose(writer->tokens) >= 0 && (writer->tokens = -1) &&
           write_table(writer, "doc_ends", H5T_STD_U64LE, H5T_NATIVE_UINT64, writer->doc_ends, writer->documents) &&
           write_table(writer, "chunk_crc32", H5T_STD_U32LE, H5T_NATIVE_UINT32, writer->chunk_crc32, writer->chunks) &&
           write_string(writer, "format", TOKENS_FORMAT) && write_integer(writer, "version", TOKENS_VERSION) &&
           write_integer(writer, "vocab_size", options->vocab_size) &&
           write_integer(writer, "bos_token_id", options->bos_token_id) &&
           write_integer(writer, "eos_token_id", options->eos_token_id) &&
           write_string(writer, "tokenizer", options->tokenizer) &&
           write_string(writer, "tokenizer_sha256", options->tokenizer_sha256) &&
           write_integer(writer, "doc_ends_crc32", crc) && write_tokenizer(writer) &&
           H5Fflush(writer->file, H5F_SCOPE_GLOBAL) >= 0 && write_integer(writer, "complete", 1);
}

static bool sync_path(const char *path) {
    int descriptor;
    if (file_open_write(path, &descriptor)) return false;
    bool synced = file_sync(descriptor) == 0;
    return file_close(descriptor) == 0 && synced;
}

static void sync_folder_of(const char *path) {
    char folder[TOKENS_NAME_MAX];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash) slash[slash == folder] = 0;
    folder_sync(slash ? folder : ".");
}

Status tokens_writer_complete(TokensWriter *writer) {
    tokens_writer_end_document(writer);
    if (writer->documents == 0) {
        log_error("%s: not written: there is no text", writer->path);
        return BAD_INPUT;
    }
    if (writer->batch_tokens > 0 && write_batch(writer) != OK) return IO_ERROR;
    if (!write_tables(writer)) return failed(writer, "writing");
    const bool closed = H5Fclose(writer->file) >= 0;
    writer->file = -1;
    return closed && sync_path(writer->temporary) ? OK : failed(writer, "finishing the file");
}

Status tokens_writer_finish(TokensWriter *writer) {
    Status status = writer->file < 0 ? OK : tokens_writer_complete(writer);
    if (!status && file_rename(writer->temporary, writer->path)) status = failed(writer, "naming the file");
    if (!status) sync_folder_of(writer->path);
    tokens_writer_abandon(writer);
    return status;
}

void tokens_writer_abandon(TokensWriter *writer) {
    if (!writer) return;
    if (writer->tokens >= 0) H5Dclose(writer->tokens);
    if (writer->file >= 0) H5Fclose(writer->file);
    remove(writer->temporary); /* if all went well it has been renamed already */
    unfinished_drop(writer->temporary);
    free(writer->batch);
    free(writer->planes);
    free(writer->stored);
    free(writer->doc_ends);
    free(writer->chunk_crc32);
    free(writer);
}
