#include "data/tokens_h5.h"

#include "base/log.h"
#include "base/crc.h"
#include "base/files.h"
#include "base/memory.h"
#include "data/hdf5.h"
#include "data/tokens_internal.h"
#include "data/tokens_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Many builds of HDF5 are not thread-safe, so one thread at a time calls it. Inflating, the slow part, is done outside
 * of the lock. */
static pthread_mutex_t hdf5_lock = PTHREAD_MUTEX_INITIALIZER;

static void hdf5_enter(void) {
    pthread_mutex_lock(&hdf5_lock);
    hdf5_prepare();
}

static void hdf5_leave(void) { pthread_mutex_unlock(&hdf5_lock); }

static hid_t open_hdf5(const char *path) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_file_locking(access, false, true); /* parallel file systems often have no locks */
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, access);
    H5Pclose(access);
    return file;
}

static void close_handles(TokensFile *file) {
    if (file->tokens >= 0) H5Oclose(file->tokens);
    if (file->file >= 0) H5Fclose(file->file);
    file->tokens = file->file = -1;
}

/* Everything that HDF5 does with a file before chunks are read; run in a child process by tokens_probe. */
static void open_and_check(void *argument) {
    TokensFile *file = argument;
    file->file = open_hdf5(file->path);
    if (file->file >= 0) tokens_check(file);
    close_handles(file);
}

static Status cannot_open(const TokensFile *file, int error) {
    if (!file_is_missing(error)) {
        log_error("%s: cannot be opened: %s", file->path, strerror(error));
        return IO_ERROR;
    }
    return tokens_refuse(file,
                         "%s; make it with flame-c data build --text DIR --out %s, or with tools/prepare.py and a "
                         "Hugging Face tokenizer",
                         error == ENOENT ? "there is no such file" : strerror(error), file->path);
}

static Status open_file(TokensFile *file) {
    int descriptor = open(file->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a FIFO must not block us */
    const int error = descriptor < 0 || fstat(descriptor, &file->identity) ? errno : 0;
    if (descriptor >= 0) close(descriptor);
    if (error) return cannot_open(file, error);
    if (!S_ISREG(file->identity.st_mode)) return tokens_refuse(file, "is not a regular file");
    file->facts.file_bytes = (int64_t)file->identity.st_size;
    if (file->facts.file_bytes == 0) return tokens_refuse(file, "is empty");
    if (log_rank() == 0 && !tokens_probe(open_and_check, file, file->facts.file_bytes))
        return tokens_refuse(file, "is damaged: opening it crashes or hangs HDF5; build it again");
    file->file = open_hdf5(file->path);
    if (file->file >= 0) return OK;
    if (H5Fis_hdf5(file->path) > 0)
        return tokens_refuse(file, "is an HDF5 file, but cut off, damaged or not closed by its writer; build it again");
    return tokens_refuse(file, "is not an HDF5 file; make one with data build or tools/prepare.py");
}

Status tokens_open(const char *path, TokensFile **result) {
    TokensFile *file = calloc(1, sizeof *file);
    CHECK_MEMORY(file, "no memory to open %s", path);
    file->file = file->tokens = -1;
    snprintf(file->path, sizeof file->path, "%s", path);
    file->facts.path = file->path;
    file->facts.tokenizer = file->tokenizer;
    file->facts.tokenizer_sha256 = file->tokenizer_sha256;
    file->facts.tokenizer_files = &file->tokenizer_files;
    hdf5_enter();
    Status status = open_file(file);
    if (!status) status = tokens_check(file);
    hdf5_leave();
    if (status)
        tokens_close(file);
    else
        *result = file;
    return status;
}

void tokens_close(TokensFile *file) {
    if (!file) return;
    hdf5_enter();
    close_handles(file);
    hdf5_leave();
    tokenizer_files_free(&file->tokenizer_files);
    free(file->doc_ends);
    free(file->chunk_crc32);
    free(file->stored_size);
    free(file);
}

bool tokens_same_file(const TokensFile *a, const TokensFile *b) {
    return a->identity.st_dev == b->identity.st_dev && a->identity.st_ino == b->identity.st_ino;
}

const TokensFacts *tokens_facts(const TokensFile *file) { return &file->facts; }
int64_t tokens_chunk_bytes(const TokensFile *file) { return file->codec.bytes; }

int64_t tokens_in_chunk(const TokensFile *file, int64_t chunk) {
    int64_t left = file->facts.tokens - chunk * file->facts.chunk_tokens;
    return left < file->facts.chunk_tokens ? left : file->facts.chunk_tokens;
}

void tokens_scratch_free(TokensScratch *scratch) {
    free(scratch->stored);
    free(scratch->shuffled);
    *scratch = (TokensScratch){0};
}

static void scratch_grow(unsigned char **memory, int64_t *capacity, int64_t needed) {
    if (*capacity >= needed) return;
    free(*memory);
    *memory = memory_take(needed, "a chunk of data",
                          "Use fewer data.threads, or smaller chunks (flame-c data build --chunk)");
    *capacity = needed;
}

Status tokens_check_unchanged(const TokensFile *file) {
    struct stat now;
    if (stat(file->path, &now)) {
        log_error("%s: has disappeared while in use: %s; put it back and resume", file->path, strerror(errno));
        return IO_ERROR;
    }
    const struct stat *then = &file->identity;
    if (now.st_dev == then->st_dev && now.st_ino == then->st_ino && now.st_size == then->st_size &&
        now.st_mtim.tv_sec == then->st_mtim.tv_sec && now.st_mtim.tv_nsec == then->st_mtim.tv_nsec)
        return OK;
    log_error("%s: was replaced or changed while in use; put the old file back and resume", file->path);
    return IO_ERROR;
}

static Status damaged(const TokensFile *file, int64_t chunk, const char *problem) {
    int64_t first = chunk * file->facts.chunk_tokens;
    return tokens_refuse(file, "chunk %lld of %lld (tokens %lld .. %lld) is damaged: %s; copy or build the file again",
                         (long long)chunk, (long long)file->facts.chunks, (long long)first,
                         (long long)(first + tokens_in_chunk(file, chunk) - 1), problem);
}

/* The number of bytes that H5Dread_chunk will write. For chunks without filters H5Dget_chunk_storage_size returns the
 * nominal size, whatever the file says. H5Dget_chunk_info_by_coord is slower but returns the size in the file. */
static bool stored_size(const TokensFile *file, const hsize_t *offset, hsize_t *size) {
    if (file->codec.shuffle || file->codec.deflate) return H5Dget_chunk_storage_size(file->tokens, offset, size) >= 0;
    unsigned mask;
    haddr_t address;
    return H5Dget_chunk_info_by_coord(file->tokens, offset, &mask, &address, size) >= 0;
}

/* Reads a chunk as it is stored. On failure the file is opened again for a second attempt: NFS handles become stale
 * when the server restarts. */
static Status read_stored(TokensFile *file, int64_t chunk, unsigned char *stored, uint32_t *skipped_filters) {
    hsize_t offset = (hsize_t)(chunk * file->facts.chunk_tokens), size = 0;
    bool sized = false, done = false;
    hdf5_enter();
    for (int attempt = 0; attempt < 2 && !done; attempt++) {
        if (attempt > 0) {
            close_handles(file);
            file->file = open_hdf5(file->path);
            file->tokens = file->file < 0 ? -1 : H5Oopen(file->file, "tokens", H5P_DEFAULT);
        }
        sized = file->tokens >= 0 && stored_size(file, &offset, &size);
        done = sized && size == file->stored_size[chunk] &&
               H5Dread_chunk(file->tokens, H5P_DEFAULT, &offset, skipped_filters, stored) >= 0;
    }
    hdf5_leave();
    if (done) return OK;
    if (sized && size != file->stored_size[chunk])
        return damaged(file, chunk, "the file states two different sizes for it");
    log_error("%s: chunk %lld of /tokens cannot be read; check the disk, then resume", file->path, (long long)chunk);
    return IO_ERROR;
}

static uint32_t largest_token(const void *tokens, int width, int64_t count) {
    if (width == 2) {
        const uint16_t *values = tokens;
        uint16_t largest = 0;
        for (int64_t i = 0; i < count; i++) largest = values[i] > largest ? values[i] : largest;
        return largest;
    }
    const uint32_t *values = tokens;
    uint32_t largest = 0;
    for (int64_t i = 0; i < count; i++) largest = values[i] > largest ? values[i] : largest;
    return largest;
}

/* Logs a token outside of the vocabulary. If the chunk matches its CRC-32 it is as it was written, so the attribute
 * vocab_size is wrong, which is logged once for all chunks. */
static Status outside_vocabulary(TokensFile *file, int64_t chunk, uint32_t token) {
    const long long vocabulary = (long long)file->facts.vocab_size;
    char text[160];
    if (file->chunk_crc32) {
        if (!atomic_exchange(&file->told_vocabulary, true))
            tokens_refuse(
                file,
                "attribute \"vocab_size\" is %lld, but there is a token %u (in chunk %lld, which is sound): set "
                "the attribute to the size of the tokenizer's vocabulary (docs/data-format.md)",
                vocabulary, token, (long long)chunk);
        return BAD_INPUT;
    }
    snprintf(text, sizeof text, "token %u is outside the vocabulary of %lld (or attribute \"vocab_size\" is wrong)",
             token, vocabulary);
    return damaged(file, chunk, text);
}

/* A writer may skip a filter that does not make a chunk smaller: bit i of the mask stands for filter i. */
static ChunkCodec codec_of_chunk(const TokensFile *file, uint32_t skipped_filters) {
    ChunkCodec codec = file->codec;
    int place = 0;
    if (codec.shuffle && (skipped_filters >> place++ & 1)) codec.shuffle = false;
    if (codec.deflate && (skipped_filters >> place & 1)) codec.deflate = false;
    return codec;
}

Status tokens_read_chunk(TokensFile *file, int64_t chunk, TokensScratch *scratch, void *tokens) {
    CHECK(chunk >= 0 && chunk < file->facts.chunks, "chunk %lld of %lld", (long long)chunk,
          (long long)file->facts.chunks);
    Status status = tokens_check_unchanged(file);
    if (status) return status;
    scratch_grow(&scratch->stored, &scratch->stored_capacity, chunk_stored_max(&file->codec));
    scratch_grow(&scratch->shuffled, &scratch->shuffled_capacity, file->codec.bytes);
    uint32_t skipped_filters = 0;
    if ((status = read_stored(file, chunk, scratch->stored, &skipped_filters))) return status;
    ChunkCodec codec = codec_of_chunk(file, skipped_filters);
    const char *problem = chunk_decode(&codec, scratch->stored, file->stored_size[chunk], scratch->shuffled, tokens);
    if (problem) return damaged(file, chunk, problem);
    int64_t count = tokens_in_chunk(file, chunk);
    if (file->chunk_crc32 && crc_update(0, tokens, count * file->facts.width) != file->chunk_crc32[chunk])
        return damaged(file, chunk, "its CRC-32 does not match");
    uint32_t largest = largest_token(tokens, file->facts.width, count);
    return largest < file->facts.vocab_size ? OK : outside_vocabulary(file, chunk, largest);
}
