#include "data/inspect_data.h"

#include "base/log.h"
#include "data/tokens_h5.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_BINS = 64, BAR_WIDTH = 40 };

static int bin_of(uint64_t length) {
    int bin = 0;
    while (length >>= 1) bin++;
    return bin;
}

/* Histogram of document lengths: one bin per power of two. The longest bar has BAR_WIDTH characters. */
static void print_histogram(const TokensFacts *facts) {
    int64_t documents[LENGTH_BINS] = {0}, most = 0;
    uint64_t start = 0;
    int first = LENGTH_BINS, last = 0;
    for (int64_t i = 0; i < facts->documents; i++) {
        int bin = bin_of(facts->doc_ends[i] - start);
        start = facts->doc_ends[i];
        if (++documents[bin] > most) most = documents[bin];
        if (bin < first) first = bin;
        if (bin > last) last = bin;
    }
    printf("\ndocument length in tokens\n");
    for (int bin = first; bin <= last; bin++) {
        int width = (int)((documents[bin] * BAR_WIDTH + most - 1) / most);
        printf("  %10" PRIu64 " .. %-10" PRIu64 " %10" PRId64 "  %.*s\n", UINT64_C(1) << bin, (UINT64_C(2) << bin) - 1,
               documents[bin], width, "########################################");
    }
}

Status inspect_data(const char *path) {
    TokensFile *file;
    Status status = tokens_open(path, &file);
    if (status) return status;
    const TokensFacts *facts = tokens_facts(file);
    int64_t bytes = facts->tokens * facts->width;
    printf("%s\n", facts->path);
    printf("  tokens       %" PRId64 " (uint%d)\n", facts->tokens, 8 * facts->width);
    printf("  documents    %" PRId64 ", %.1f tokens on average\n", facts->documents,
           (double)facts->tokens / (double)facts->documents);
    printf("  chunks       %" PRId64 " of %" PRId64 " tokens, %s\n", facts->chunks, facts->chunk_tokens,
           facts->chunk_crc32 ? "each with a CRC-32" : "without CRC-32");
    printf("  size         %.2f MB; the tokens take %.2f MB, compressed %.2f x\n", (double)facts->file_bytes / 1e6,
           (double)facts->stored_bytes / 1e6, (double)bytes / (double)facts->stored_bytes);
    printf("  tokenizer    %s%s%s\n", facts->tokenizer, facts->tokenizer_sha256[0] ? ", sha256 " : "",
           facts->tokenizer_sha256);
    printf("  vocabulary   %" PRId64 ", bos %" PRId64 ", eos %" PRId64 "\n", facts->vocab_size, facts->bos_token_id,
           facts->eos_token_id);
    printf("  its files   ");
    for (int i = 0; i < TOKENIZER_FILES; i++)
        if (facts->tokenizer_files->file[i].content) printf(" %s", tokenizer_file_names[i]);
    printf("%s\n", tokenizer_files_any(facts->tokenizer_files) ? "" : " none");
    print_histogram(facts);
    tokens_close(file);
    return OK;
}

/* A byte as text: printable, or escaped as in C. */
static void print_byte(int64_t token) {
    if (token == '\\' || token == '\n' || token == '\t')
        printf("\\%c", token == '\n' ? 'n' : token == '\t' ? 't' : '\\');
    else if (token >= ' ' && token <= '~')
        putchar((int)token);
    else if (token < 256)
        printf("\\x%02x", (unsigned)token);
    else
        printf("<%" PRId64 ">", token);
}

static int64_t token_at(const void *tokens, int width, int64_t index) {
    return width == 2 ? ((const uint16_t *)tokens)[index] : ((const uint32_t *)tokens)[index];
}

/* The document that token number `token` is in. */
static int64_t document_of(const TokensFacts *facts, int64_t token) {
    int64_t low = 0, high = facts->documents - 1;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (facts->doc_ends[middle] > (uint64_t)token)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Prints tokens [first, end), counted in the file, of a chunk that begins with token number `start`. */
static void print_tokens(const TokensFacts *facts, const void *tokens, int64_t start, int64_t first, int64_t end,
                         int64_t *document) {
    const bool text = strcmp(facts->tokenizer, "bytes") == 0;
    for (int64_t i = first; i < end; i++) {
        const int64_t in = document_of(facts, i), token = token_at(tokens, facts->width, i - start);
        if (in != *document) printf("%sdocument %" PRId64 ", token %" PRId64 ":", *document < 0 ? "" : "\n", in, i);
        if (in != *document && text) putchar(' ');
        *document = in;
        if (text)
            print_byte(token);
        else
            printf(" %" PRId64, token);
    }
}

Status show_data(const char *path, int64_t first, int64_t count) {
    TokensFile *file;
    Status status = tokens_open(path, &file);
    if (status) return status;
    const TokensFacts *facts = tokens_facts(file);
    if (first >= facts->tokens) {
        log_error("%s has %" PRId64 " tokens, counted from 0: there is no token %" PRId64, path, facts->tokens, first);
        tokens_close(file);
        return BAD_INPUT;
    }
    const int64_t end = count < facts->tokens - first ? first + count : facts->tokens, size = facts->chunk_tokens;
    TokensScratch scratch = {0};
    void *tokens = malloc((size_t)tokens_chunk_bytes(file));
    CHECK_MEMORY(tokens, "no memory for a chunk");
    int64_t document = -1;
    for (int64_t at = first, next; at < end && status == OK; at = next) {
        const int64_t chunk = at / size;
        next = (chunk + 1) * size < end ? (chunk + 1) * size : end;
        status = tokens_read_chunk(file, chunk, &scratch, tokens);
        if (status == OK) print_tokens(facts, tokens, chunk * size, at, next, &document);
    }
    printf("\n");
    free(tokens);
    tokens_scratch_free(&scratch);
    tokens_close(file);
    return status;
}

Status verify_data(const char *path, int threads) {
    TokensFile *file;
    Status status = tokens_open(path, &file);
    if (status) return status;
    const TokensFacts *facts = tokens_facts(file);
    int64_t damaged = 0, unreadable = 0;
#pragma omp parallel num_threads(threads) reduction(+ : damaged, unreadable)
    {
        TokensScratch scratch = {0};
        void *tokens = malloc((size_t)tokens_chunk_bytes(file));
        CHECK_MEMORY(tokens, "no memory for a chunk");
#pragma omp for schedule(dynamic)
        for (int64_t chunk = 0; chunk < facts->chunks; chunk++) {
            Status result = tokens_read_chunk(file, chunk, &scratch, tokens);
            if (result == IO_ERROR)
                unreadable++;
            else if (result)
                damaged++;
        }
        free(tokens);
        tokens_scratch_free(&scratch);
    }
    if (damaged + unreadable == 0)
        printf("%s: all %" PRId64 " chunks (%" PRId64 " tokens, %" PRId64 " documents) are good%s\n", facts->path,
               facts->chunks, facts->tokens, facts->documents,
               facts->chunk_crc32 ? "" : ", as far as can be told without /chunk_crc32");
    else
        printf("%s: %" PRId64 " of %" PRId64 " chunks are not good\n", facts->path, damaged + unreadable,
               facts->chunks);
    tokens_close(file);
    return unreadable ? IO_ERROR : damaged ? BAD_INPUT : OK;
}
