#include "data/build_data.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/files.h"
#include "data/build_batch.h"
#include "data/shuffle.h"
#include "data/tokens_writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE_BYTES = 1 << 20, BINARY_TEST_BYTES = 64 << 10, WARNINGS_SHOWN = 5, FOLDER_DEPTH_MAX = 256 };

typedef struct Builder {
    const BuildOptions *options;
    BuildReport *report;
    TokensWriter *train, *validation, *current; /* current: where the open document goes; NULL between documents */
    int64_t documents;                          /* documents so far, of both files */
    bool blank_line;                            /* the current line is blank so far */
    bool has_text;                              /* the current document has a line that is not blank */
    unsigned char piece[PIECE_BYTES];
    double last_progress; /* seconds_now() */
    bool on_terminal;
    BuildTokenizer tokenizer;
    BuildBatch *batch;
} Builder;

static void show_progress(Builder *builder, bool last) {
    const double now = seconds_now();
    if (!builder->on_terminal || (now - builder->last_progress < 0.2 && !last)) return;
    builder->last_progress = now;
    fprintf(stderr, "\r%lld files, %lld documents, %.1f MB%s", (long long)builder->report->files,
            (long long)builder->documents, (double)builder->report->bytes / 1e6, last ? "\n" : "   ");
}

static void skipped(const char *path, const char *why, int64_t *count) {
    if (++*count <= WARNINGS_SHOWN) log_warning("%s: skipped: %s", path, why);
    if (*count == WARNINGS_SHOWN + 1) log_warning("more files are skipped: %s", why);
}

/* The file is chosen by a hash of the document's number, so that the split does not depend on the text. */
static void begin_document(Builder *builder) {
    double place = (double)(hash_mix(0, (uint64_t)builder->documents++) >> 11) * 0x1p-53;
    builder->current =
        builder->validation && place < builder->options->validation ? builder->validation : builder->train;
    builder->blank_line = true;
    builder->has_text = false;
    build_batch_begin(builder->batch, builder->current);
}

static Status end_document(Builder *builder) {
    if (!builder->current) return OK;
    builder->current = NULL;
    return build_batch_end(builder->batch);
}

/* The number of bytes of data[0 .. count) that belong to the current document; *ends: whether the document ends after
 * them. Blank lines do not form a document of their own: they become the beginning of the next one. */
static int64_t document_part(Builder *builder, const unsigned char *data, int64_t count, bool *ends) {
    *ends = false;
    if (builder->options->document == DOCUMENT_FILE) return count;
    for (int64_t i = 0; i < count; i++) {
        if (data[i] != '\n') {
            bool blank = data[i] == ' ' || data[i] == '\t' || data[i] == '\r';
            builder->blank_line = builder->blank_line && blank;
            builder->has_text = builder->has_text || !blank;
            continue;
        }
        *ends = builder->has_text && (builder->options->document == DOCUMENT_LINE || builder->blank_line);
        builder->blank_line = true;
        if (*ends) return i + 1;
    }
    return count;
}

static Status add_bytes(Builder *builder, const unsigned char *data, int64_t count) {
    Status status = OK;
    while (count > 0 && !status) {
        if (!builder->current) begin_document(builder);
        bool ends;
        int64_t part = document_part(builder, data, count, &ends);
        status = build_batch_add(builder->batch, (const char *)data, part);
        if (!status && ends) status = end_document(builder);
        data += part;
        count -= part;
    }
    return status;
}

static Status unreadable(const char *path, int error) {
    log_error("%s: cannot be read: %s; make it readable, or do not pass it to --text", path, strerror(error));
    return BAD_INPUT;
}

/* Whether an open text file is the output `out`, which would be replaced. */
static bool is_output(int descriptor, const char *out) {
    struct stat text, file;
    return out && stat(out, &file) == 0 && fstat(descriptor, &text) == 0 && text.st_dev == file.st_dev &&
           text.st_ino == file.st_ino;
}

static Status add_open_file(Builder *builder, const char *path, int descriptor) {
    bool first = true;
    int64_t offset = 0;
    for (;;) {
        ssize_t count = pread(descriptor, builder->piece, PIECE_BYTES, offset);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return unreadable(path, errno);
        if (count == 0 && first) skipped(path, "empty", &builder->report->skipped_empty);
        if (count == 0) break;
        size_t tested = count < BINARY_TEST_BYTES ? (size_t)count : BINARY_TEST_BYTES;
        if (first && memchr(builder->piece, 0, tested)) {
            skipped(path, "not text (it has zero bytes)", &builder->report->skipped_binary);
            return OK;
        }
        if (first &&
            (is_output(descriptor, builder->options->out) || is_output(descriptor, builder->options->validation_out))) {
            log_error("%s: is a text to read, which the output would replace; give the output another name", path);
            return BAD_INPUT;
        }
        if (first) build_batch_file(builder->batch, path);
        first = false;
        Status status = add_bytes(builder, builder->piece, count);
        if (status) return status;
        offset += count;
        builder->report->bytes += count;
        show_progress(builder, false);
    }
    if (!first) builder->report->files++;
    return end_document(builder);
}

static bool is_json_lines(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot && strcmp(dot, ".jsonl") == 0;
}

static Status add_file(Builder *builder, const char *path) {
    int descriptor;
    if (is_json_lines(path)) {
        log_error("%s: JSON lines would be tokenized as text; tools/prepare.py makes a document of each row", path);
        return BAD_INPUT;
    }
    int error = file_open_read(path, &descriptor, NULL);
    if (error == EINVAL) {
        skipped(path, "not a regular file", &builder->report->skipped_binary);
        return OK;
    }
    if (error) return unreadable(path, error);
    Status status = add_open_file(builder, path, descriptor);
    file_close(descriptor);
    return status;
}

static Status add_path(Builder *builder, const char *path, int depth);

static Status add_folder(Builder *builder, const char *folder, int depth) {
    char **names;
    int64_t count;
    if (depth > FOLDER_DEPTH_MAX) return unreadable(folder, ELOOP);
    int error = folder_list(folder, &names, &count);
    if (error) return unreadable(folder, error);
    Status status = OK;
    for (int64_t i = 0; i < count && !status; i++) {
        if (names[i][0] == '.') continue;
        char *path = path_join(folder, names[i]);
        status = add_path(builder, path, depth + 1);
        free(path);
    }
    folder_list_free(names, count);
    return status;
}

static Status add_path(Builder *builder, const char *path, int depth) {
    struct stat itself, target;
    if (lstat(path, &itself)) return unreadable(path, errno);
    bool link = S_ISLNK(itself.st_mode);
    if (link && depth > 0 && (stat(path, &target) || S_ISDIR(target.st_mode))) {
        skipped(path, "a link to a folder, to itself or to nothing", &builder->report->skipped_links);
        return OK;
    }
    if (stat(path, &target)) return unreadable(path, errno);
    return S_ISDIR(target.st_mode) ? add_folder(builder, path, depth) : add_file(builder, path);
}

static Status open_writer(const Builder *builder, const char *path, TokensWriter **writer) {
    const BuildOptions *options = builder->options;
    const BuildTokenizer *tokenizer = &builder->tokenizer;
    const int64_t vocab_size = tokenizer_vocab_size(tokenizer->tokenizer);
    const TokensWriterOptions writer_options = {.path = path,
                                                .force = options->force,
                                                .width = vocab_size <= 1 << 16 ? 2 : 4,
                                                .chunk_tokens = options->chunk_tokens,
                                                .level = options->level,
                                                .vocab_size = vocab_size,
                                                .bos_token_id = tokenizer->bos,
                                                .eos_token_id = tokenizer->eos,
                                                .tokenizer = tokenizer->name,
                                                .tokenizer_sha256 = tokenizer->sha256,
                                                .tokenizer_files = &tokenizer->files};
    if (writer_options.chunk_tokens * writer_options.width > TOKENS_CHUNK_BYTES_MAX) {
        log_error("--chunk %lld: a token of this vocabulary has %d bytes, so that a chunk holds at most %d",
                  (long long)writer_options.chunk_tokens, writer_options.width,
                  TOKENS_CHUNK_BYTES_MAX / writer_options.width);
        return USAGE;
    }
    return tokens_writer_open(&writer_options, writer);
}

static Status finish(TokensWriter **writer, int64_t *tokens, int64_t *documents) {
    *tokens = tokens_writer_tokens(*writer);
    *documents = tokens_writer_documents(*writer);
    Status status = tokens_writer_finish(*writer);
    *writer = NULL;
    return status;
}

/* Refuses a split that leaves one file without a document, before either file gets its final name. */
static Status check_split(const Builder *builder) {
    if (!builder->validation || builder->documents == 0) return OK;
    if (tokens_writer_documents(builder->train) > 0 && tokens_writer_documents(builder->validation) > 0) return OK;
    log_error("%s: %lld documents cannot be split into training and validation at %g; cut the text into more documents "
              "with --document paragraph or --document line",
              builder->options->validation_out, (long long)builder->documents, builder->options->validation);
    return BAD_INPUT;
}

Status build_data(const BuildOptions *options, BuildReport *report) {
    *report = (BuildReport){0};
    Builder *builder = calloc(1, sizeof *builder);
    CHECK_MEMORY(builder, "no memory to build data");
    builder->options = options;
    builder->report = report;
    builder->on_terminal = isatty(STDERR_FILENO);
    Status status = build_tokenizer_open(options->tokenizer, options->bos, options->eos, &builder->tokenizer);
    if (!status) status = open_writer(builder, options->out, &builder->train);
    if (!status && options->validation_out && tokens_writer_writes(builder->train, options->validation_out)) {
        log_error("data build: --out and --validation-out are the same file; see flame-c data build --help");
        status = USAGE;
    }
    if (!status && options->validation_out)
        status = open_writer(builder, options->validation_out, &builder->validation);
    if (!status) builder->batch = build_batch_create(&builder->tokenizer);
    for (int i = 0; i < options->text_count && !status; i++) status = add_path(builder, options->text[i], 0);
    if (!status) status = build_batch_flush(builder->batch);
    if (!status) show_progress(builder, true);
    if (!status) status = check_split(builder);
    if (!status && builder->validation) status = tokens_writer_complete(builder->validation);
    if (!status) status = tokens_writer_complete(builder->train); /* before either replaces an older file */
    if (!status && builder->validation)
        status = finish(&builder->validation, &report->validation_tokens, &report->validation_documents);
    if (!status) status = finish(&builder->train, &report->tokens, &report->documents);
    tokens_writer_abandon(builder->train);
    tokens_writer_abandon(builder->validation);
    build_batch_free(builder->batch);
    build_tokenizer_close(&builder->tokenizer);
    free(builder);
    return status;
}
