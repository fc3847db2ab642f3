/* A data set with one flipped bit, anywhere in the file: it is refused, or all tokens that are read from it are those
 * that were written. Each flip has a process of its own, since HDF5 may crash.
 *
 *   test_data_flips [FLIPS [SEED]]    a longer run */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/files.h"
#include "data/byte_tokenizer.h"
#include "data/tokens_h5.h"
#include "data/tokens_writer.h"
#include "support/mutants.h"

enum { DOCUMENTS = 40, LENGTH = 400, CHUNK = 4096 };
typedef enum Outcome { SAME, REFUSED, WRONG } Outcome;

static uint32_t token_of(int64_t document, int64_t i) { return (uint32_t)((document * 7919 + i * i / 5) % 256); }

static void write_data(const char *path, const TokenizerFiles *tokenizer) {
    TokensWriterOptions options = tokens_writer_bytes_options(path);
    options.chunk_tokens = CHUNK;
    options.tokenizer_files = tokenizer;
    TokensWriter *writer;
    CHECK(tokens_writer_open(&options, &writer) == OK, "no token file");
    for (int64_t d = 0; d < DOCUMENTS; d++) {
        for (int64_t i = 0; i < LENGTH; i++)
            CHECK(tokens_writer_add(writer, &(uint32_t){token_of(d, i)}, 1) == OK, "no tokens");
        tokens_writer_end_document(writer);
    }
    CHECK(tokens_writer_finish(writer) == OK, "no token file");
}

static bool same_facts(const TokensFacts *f, const TokenizerFiles *tokenizer) {
    bool same = f->tokens == DOCUMENTS * LENGTH && f->documents == DOCUMENTS && f->width == 2 &&
                f->chunk_tokens == CHUNK && f->vocab_size == BYTES_VOCAB_SIZE && f->bos_token_id == BYTES_BOS &&
                f->eos_token_id == BYTES_EOS && strcmp(f->tokenizer, "bytes") == 0 && f->tokenizer_sha256[0] == 0 &&
                f->chunk_crc32;
    for (int64_t d = 0; same && d < DOCUMENTS; d++) same = f->doc_ends[d] == (uint64_t)(d + 1) * LENGTH;
    for (int i = 0; same && i < TOKENIZER_FILES; i++) {
        const TokenizerFile *a = &f->tokenizer_files->file[i], *b = &tokenizer->file[i];
        same = a->bytes == b->bytes && (!a->bytes || memcmp(a->content, b->content, (size_t)a->bytes) == 0);
    }
    return same;
}

static Outcome read_data(const char *path, const TokenizerFiles *tokenizer) {
    TokensFile *file;
    TokensScratch scratch = {0};
    uint16_t tokens[CHUNK];
    if (tokens_open(path, &file) != OK) return REFUSED;
    const TokensFacts *facts = tokens_facts(file);
    if (!same_facts(facts, tokenizer)) return WRONG;
    for (int64_t chunk = 0; chunk < facts->chunks; chunk++) {
        if (tokens_read_chunk(file, chunk, &scratch, tokens) != OK) return REFUSED;
        for (int64_t i = 0; i < tokens_in_chunk(file, chunk); i++) {
            const int64_t at = chunk * CHUNK + i;
            if (tokens[i] != token_of(at / LENGTH, at % LENGTH)) return WRONG;
        }
    }
    return SAME;
}

/* WRONG too if it crashes or does not end. */
static Outcome outcome_of(const char *path, const TokenizerFiles *tokenizer) {
    int status;
    const pid_t child = fork();
    if (child == 0) {
        setitimer(ITIMER_PROF, &(struct itimerval){.it_value = {5, 0}}, NULL);
        _exit((int)read_data(path, tokenizer));
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child, "fork failed");
    return WIFEXITED(status) ? (Outcome)WEXITSTATUS(status) : WRONG;
}

int main(int argc, char **argv) {
    const long flips = argc > 1 ? atol(argv[1]) : 600;
    Mutant m = {.random = argc > 2 ? (uint64_t)atol(argv[2]) : 1};
    long count[3] = {0};
    int64_t bytes;
    mutants_begin();
    TokenizerFiles tokenizer = byte_tokenizer_files();
    char *path = path_join(mutants_folder, "data.h5");
    write_data(path, &tokenizer);
    CHECK(read_data(path, &tokenizer) == SAME, "the file without damage is not read");
    CHECK(file_read_all(path, 1 << 24, &m.data, &bytes) == 0, "reading %s", path);
    for (long i = 0; i < flips; i++) {
        const size_t at = mutant_draw(&m, (size_t)bytes), bit = mutant_draw(&m, 8);
        m.data[at] ^= (char)(1 << bit);
        mutants_write("data.h5", m.data, (size_t)bytes);
        const Outcome outcome = outcome_of(path, &tokenizer);
        if (outcome == WRONG) printf("bit %zu of byte %zu\n", bit, at);
        count[outcome]++;
        m.data[at] ^= (char)(1 << bit);
    }
    printf("%ld flips in %lld bytes: %ld found, %ld harmless, %ld wrong\n", flips, (long long)bytes, count[REFUSED],
           count[SAME], count[WRONG]);
    free(m.data);
    free(path);
    tokenizer_files_free(&tokenizer);
    folder_remove(mutants_folder);
    return count[WRONG] > 0 || count[REFUSED] == 0;
}
