#include "data/build_batch.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "text/pieces.h"

enum { BATCH_BYTES = 8 << 20 }; /* bytes of text that are gathered; the last document may exceed them */

/* A document, or the part of it that is in this batch. */
typedef struct Part {
    int64_t start, bytes;
    TokensWriter *writer;
    bool begins, ends;
    int64_t file;     /* where the path of its file begins in `paths` */
    int64_t document; /* of that file, from 1 */
    TokenIds ids;
} Part;

struct BuildBatch {
    const BuildTokenizer *tokenizer;
    TokenEncoder **encoder; /* [threads] */
    int threads;
    Pieces text, paths;     /* each path ends with a zero byte */
    int64_t file, document; /* of the part that is added next */
    Part *part;
    int64_t parts, room;
};

BuildBatch *build_batch_create(const BuildTokenizer *tokenizer) {
    BuildBatch *batch = calloc(1, sizeof *batch);
    CHECK_MEMORY(batch, "no memory to build data");
    batch->tokenizer = tokenizer;
    batch->threads = omp_get_max_threads();
    batch->encoder = calloc((size_t)batch->threads, sizeof *batch->encoder);
    CHECK_MEMORY(batch->encoder, "no memory to build data");
    for (int i = 0; i < batch->threads; i++) batch->encoder[i] = token_encoder_create(tokenizer->tokenizer);
    return batch;
}

void build_batch_free(BuildBatch *batch) {
    if (!batch) return;
    for (int i = 0; i < batch->threads; i++) token_encoder_free(batch->encoder[i]);
    for (int64_t i = 0; i < batch->room; i++) free(batch->part[i].ids.id);
    free(batch->encoder);
    free(batch->part);
    pieces_free(&batch->text);
    pieces_free(&batch->paths);
    free(batch);
}

/* Adds a part. Parts keep the memory for their tokens from batch to batch. */
static void add_part(BuildBatch *batch, TokensWriter *writer, bool begins) {
    if (batch->parts == batch->room) {
        const int64_t room = 2 * batch->room + 64;
        batch->part = realloc(batch->part, (size_t)room * sizeof *batch->part);
        CHECK_MEMORY(batch->part, "no memory for %lld documents", (long long)room);
        for (; batch->room < room; batch->room++) batch->part[batch->room] = (Part){0};
    }
    Part *part = &batch->part[batch->parts++];
    *part = (Part){.start = batch->text.bytes,
                   .writer = writer,
                   .begins = begins,
                   .file = batch->file,
                   .document = batch->document,
                   .ids = part->ids};
}

void build_batch_file(BuildBatch *batch, const char *path) {
    batch->file = batch->paths.bytes;
    batch->document = 0;
    pieces_put(&batch->paths, path, (int64_t)strlen(path) + 1);
}

void build_batch_begin(BuildBatch *batch, TokensWriter *writer) {
    batch->document++;
    add_part(batch, writer, true);
}

Status build_batch_add(BuildBatch *batch, const char *text, int64_t bytes) {
    pieces_put(&batch->text, text, bytes);
    batch->part[batch->parts - 1].bytes += bytes;
    if (!batch->tokenizer->any_bytes || batch->text.bytes < BATCH_BYTES) return OK;
    TokensWriter *writer = batch->part[batch->parts - 1].writer;
    const Status status = build_batch_flush(batch);
    add_part(batch, writer, false);
    return status;
}

Status build_batch_end(BuildBatch *batch) {
    batch->part[batch->parts - 1].ends = true;
    return batch->text.bytes < BATCH_BYTES ? OK : build_batch_flush(batch);
}

/* Encodes a part. A document is bos, text, eos; if bos and eos are the same token it is text, eos. */
static Status encode_part(const BuildBatch *batch, TokenEncoder *encoder, Part *part) {
    const int64_t bos = batch->tokenizer->bos, eos = batch->tokenizer->eos;
    part->ids.count = 0;
    if (part->begins && bos >= 0 && bos != eos) token_ids_add(&part->ids, (uint32_t)bos);
    const Status status =
        part->bytes == 0 ? OK
                         : tokenizer_encode(encoder, batch->text.text + part->start, part->bytes, false, &part->ids);
    if (part->ends && eos >= 0) token_ids_add(&part->ids, (uint32_t)eos);
    if (status)
        log_error("%s: document %lld: %s", batch->paths.text + part->file, (long long)part->document,
                  token_encoder_reason(encoder));
    return status;
}

static Status write_part(const Part *part) {
    const Status status = tokens_writer_add(part->writer, part->ids.id, part->ids.count);
    if (!status && part->ends) tokens_writer_end_document(part->writer);
    return status;
}

/* The paths but the last, whose file may have more documents. */
static void forget_paths(BuildBatch *batch) {
    const int64_t bytes = batch->paths.bytes - batch->file;
    if (bytes > 0) memmove(batch->paths.text, batch->paths.text + batch->file, (size_t)bytes);
    batch->paths.bytes = bytes;
    batch->file = 0;
}

Status build_batch_flush(BuildBatch *batch) {
    Status worst = OK;
#pragma omp parallel for schedule(dynamic) num_threads(batch->threads) reduction(max : worst)
    for (int64_t i = 0; i < batch->parts; i++) {
        const Status status = worst ? OK : encode_part(batch, batch->encoder[omp_get_thread_num()], &batch->part[i]);
        if (status > worst) worst = status;
    }
    for (int64_t i = 0; i < batch->parts && !worst; i++) worst = write_part(&batch->part[i]);
    batch->parts = 0;
    pieces_clear(&batch->text);
    forget_paths(batch);
    return worst;
}
