#include "data/stream.h"

#include "base/clock.h"
#include "base/log.h"
#include "data/chunk_cache.h"
#include "base/crc.h"
#include "data/mixture.h"
#include "data/pack.h"
#include "data/shuffle.h"
#include "data/tokens_h5.h"

#include <math.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

/* Sizes of blocks, pools (shuffle.h) and buffers. Changing one of the first three changes which tokens a sample has. */
enum {
    BLOCK_TOKENS = 1 << 18,      /* least size of a block ... */
    BLOCK_CHUNKS = 4,            /* ... and least number of chunks; chunks above BLOCK_TOKENS are blocks of their own */
    POOL_TOKENS = 1 << 23,       /* size of a pool of one file; with n files each pool has 2 / (n + 1) of it */
    CACHE_BYTES_MAX = 512 << 20, /* decoded chunks of all files */
    LOOKAHEAD_SAMPLES = 128,     /* most samples to prefetch */
    PROBABILITY_SCALE = 1 << 30
};

static const double look_every_seconds = 1; /* how often to check that the files are unchanged */

typedef struct StreamFile {
    TokensFile *tokens;
    const TokensFacts *facts;
    Shuffle shuffle;
    int64_t pool_chunks; /* upper bound of the chunks of one pool */
} StreamFile;

struct Stream {
    StreamOptions options;
    StreamFacts facts;
    StreamFile *files;
    TokensFile **token_files; /* [file_count], for the cache */
    int64_t *weight;          /* [file_count] */
    Mixture mixture;
    ChunkCache *cache;
    int32_t *window; /* [seq_len + 1] */

    double looked; /* seconds_now() when the files were last seen unchanged */

    /* Prefetching: reads are expected every `stride` samples; those before next_prefetch have been requested. */
    int64_t previous_sample, stride, next_prefetch;
};

StreamOptions stream_default_options(void) {
    return (StreamOptions){.file_count = 1, .seq_len = 2048, .mask_boundaries = true, .shuffle = true, .threads = 2};
}

static Status check_options(const StreamOptions *options) {
    const char *problem = NULL;
    if (options->file_count < 1)
        problem = "no data file is given";
    else if (options->seq_len < 1 || options->seq_len > INT32_MAX - 1)
        problem = "seq_len must be 1 .. 2147483646";
    else if (options->context_len < 0)
        problem = "context_len must not be negative";
    else if (options->threads < 0 || options->threads > 256)
        problem = "the number of reader threads must be 0 .. 256";
    double sum = 0;
    for (int file = 0; file < options->file_count && options->probabilities; file++) {
        double probability = options->probabilities[file];
        if (!(probability >= 0)) problem = "a data probability is negative or not a number";
        sum += probability;
    }
    if (!problem && options->probabilities && !(sum > 0 && isfinite(sum)))
        problem = "the data probabilities must have a sum that is greater than 0 and finite";
    if (!problem) return OK;
    log_error("data: %s", problem);
    return BAD_INPUT;
}

static int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static void plan_order(Stream *stream, int number) {
    StreamFile *file = &stream->files[number];
    int64_t seq_len = stream->options.seq_len, chunk = file->facts->chunk_tokens;
    int64_t block_tokens = chunk > BLOCK_TOKENS ? chunk : larger(BLOCK_TOKENS, BLOCK_CHUNKS * chunk);
    Shuffle *shuffle = &file->shuffle;
    shuffle->windows = (file->facts->tokens - 1) / seq_len;
    shuffle->block_windows = divide_up(block_tokens, seq_len);
    shuffle->pool_blocks = larger(4, 2 * POOL_TOKENS / (stream->options.file_count + 1) / block_tokens);
    shuffle->key = hash_mix(stream->options.seed, (uint64_t)number);
    file->pool_chunks = shuffle->pool_blocks * (divide_up(shuffle->block_windows * seq_len, chunk) + 1);
}

/* Refuses a file that is listed twice: it would give the same samples twice, in two orders. */
static Status check_listed_once(const Stream *stream, int number) {
    for (int other = 0; other < number; other++) {
        if (!tokens_same_file(stream->token_files[other], stream->token_files[number])) continue;
        log_error("%s: is listed twice (file %d and file %d are both %s); list it once and give it a larger share with "
                  "data.probabilities",
                  stream->options.files[number], other + 1, number + 1, stream->options.files[other]);
        return BAD_INPUT;
    }
    return OK;
}

static void tokenizer_text(const TokensFacts *facts, char text[200]) {
    snprintf(text, 200, "%.60s, %lld tokens, bos %lld, eos %lld%s%.8s", facts->tokenizer, (long long)facts->vocab_size,
             (long long)facts->bos_token_id, (long long)facts->eos_token_id,
             *facts->tokenizer_sha256 ? ", sha256 " : "", facts->tokenizer_sha256);
}

/* Refuses files that were made with different tokenizers. */
static Status check_tokenizer(const TokensFacts *first, const TokensFacts *facts) {
    if (facts->vocab_size == first->vocab_size && strcmp(facts->tokenizer_sha256, first->tokenizer_sha256) == 0 &&
        facts->bos_token_id == first->bos_token_id && facts->eos_token_id == first->eos_token_id)
        return OK;
    char here[200], there[200];
    tokenizer_text(facts, here);
    tokenizer_text(first, there);
    log_error("%s: made by another tokenizer (%s) than %s (%s); build both with the same", facts->path, here,
              first->path, there);
    return BAD_INPUT;
}

static Status open_file(Stream *stream, int number) {
    StreamFile *file = &stream->files[number];
    const StreamOptions *options = &stream->options;
    Status status = tokens_open(options->files[number], &file->tokens);
    if (status) return status;
    stream->token_files[number] = file->tokens;
    const TokensFacts *facts = file->facts = tokens_facts(file->tokens);
    if (options->vocab_size > 0 && facts->vocab_size > options->vocab_size) {
        log_error(
            "%s: its vocabulary has %lld tokens, the model's vocab_size is %lld; set model.vocab_size or use data "
            "of the model's tokenizer",
            facts->path, (long long)facts->vocab_size, (long long)options->vocab_size);
        return BAD_INPUT;
    }
    if (facts->tokens < options->seq_len + 1) {
        log_error("%s: %lld tokens are fewer than one sample (seq_len + 1 = %lld); use more data or a smaller seq_len",
                  facts->path, (long long)facts->tokens, (long long)options->seq_len + 1);
        return BAD_INPUT;
    }
    if ((status = check_tokenizer(stream->files[0].facts, facts))) return status;
    plan_order(stream, number);
    return check_listed_once(stream, number);
}

static void plan_mixture(Stream *stream) {
    const StreamOptions *options = &stream->options;
    double sum = 0;
    for (int file = 0; file < options->file_count && options->probabilities; file++)
        sum += options->probabilities[file];
    for (int file = 0; file < options->file_count; file++) {
        stream->weight[file] = stream->files[file].shuffle.windows;
        if (options->probabilities)
            stream->weight[file] = llround(options->probabilities[file] / sum * PROBABILITY_SCALE);
        stream->mixture.total += stream->weight[file];
    }
    stream->mixture.count = options->file_count;
    CHECK(!options->concatenate || (!options->shuffle && !options->probabilities),
          "one file after the other, but shuffled or by probabilities");
    stream->mixture.concatenate = options->concatenate;
    stream->mixture.weight = stream->weight;
}

/* Hashes everything that decides which tokens a sample has. */
static uint64_t fingerprint(const Stream *stream) {
    const StreamOptions *options = &stream->options;
    uint64_t hash = hash_mix(options->seed, (uint64_t)options->seq_len);
    hash = hash_mix(hash, (uint64_t)options->shuffle);
    for (int file = 0; file < options->file_count; file++) {
        const TokensFacts *facts = stream->files[file].facts;
        hash = hash_mix(hash, (uint64_t)stream->weight[file]);
        hash = hash_mix(hash, (uint64_t)facts->tokens);
        hash = hash_mix(hash, (uint64_t)facts->chunk_tokens);
        hash = hash_mix(hash, crc_update(0, facts->doc_ends, facts->documents * (int64_t)sizeof *facts->doc_ends));
        if (facts->chunk_crc32) hash = hash_mix(hash, crc_update(0, facts->chunk_crc32, facts->chunks * 4));
    }
    return hash;
}

static void gather_facts(Stream *stream) {
    const TokensFacts *first = stream->files[0].facts;
    stream->facts = (StreamFacts){.vocab_size = first->vocab_size,
                                  .bos_token_id = first->bos_token_id,
                                  .eos_token_id = first->eos_token_id,
                                  .tokenizer = first->tokenizer,
                                  .tokenizer_sha256 = first->tokenizer_sha256,
                                  .fingerprint = fingerprint(stream)};
    for (int file = 0; file < stream->options.file_count; file++) {
        const TokenizerFiles *files = stream->files[file].facts->tokenizer_files;
        if (!stream->facts.tokenizer_files || !tokenizer_files_any(stream->facts.tokenizer_files))
            stream->facts.tokenizer_files = files;
        stream->facts.samples += stream->files[file].shuffle.windows;
        stream->facts.tokens += stream->files[file].facts->tokens;
        stream->facts.documents += stream->files[file].facts->documents;
        stream->facts.memory += stream->files[file].facts->documents * 8 + stream->files[file].facts->chunks * 8;
    }
}

/* The number of cache slots: two pools per file, so that one can be decoded while the other is read; without shuffling,
 * a few chunks. */
static int64_t plan_slots(const Stream *stream) {
    int64_t slots = 0, bytes = 1;
    for (int file = 0; file < stream->options.file_count; file++) {
        const StreamFile *stream_file = &stream->files[file];
        int64_t window_chunks = stream->options.seq_len / stream_file->facts->chunk_tokens + 2;
        int64_t wanted = stream->options.shuffle ? 2 * stream_file->pool_chunks : window_chunks + 8;
        slots += smaller(wanted, stream_file->facts->chunks);
        if (tokens_chunk_bytes(stream_file->tokens) > bytes) bytes = tokens_chunk_bytes(stream_file->tokens);
    }
    return smaller(slots, CACHE_BYTES_MAX / bytes);
}

Status stream_open(const StreamOptions *options, Stream **result) {
    Status status = check_options(options);
    if (status) return status;
    Stream *stream = calloc(1, sizeof *stream);
    CHECK_MEMORY(stream, "no memory for a stream");
    stream->options = *options;
    stream->previous_sample = -1;
    size_t count = (size_t)options->file_count;
    stream->files = calloc(count, sizeof *stream->files);
    stream->token_files = calloc(count, sizeof(TokensFile *));
    stream->weight = calloc(count, sizeof *stream->weight);
    stream->window = malloc((size_t)(options->seq_len + 1) * sizeof *stream->window);
    CHECK_MEMORY(stream->files && stream->token_files && stream->weight && stream->window, "no memory for a stream");
    for (int file = 0; file < options->file_count && !status; file++) status = open_file(stream, file);
    if (status) {
        stream_close(stream);
        return status;
    }
    plan_mixture(stream);
    gather_facts(stream);
    stream->cache = chunk_cache_create(stream->token_files, options->file_count, plan_slots(stream), options->threads);
    stream->facts.memory += chunk_cache_bytes(stream->cache);
    *result = stream;
    return OK;
}

void stream_close(Stream *stream) {
    if (!stream) return;
    chunk_cache_destroy(stream->cache);
    for (int file = 0; file < stream->options.file_count; file++) tokens_close(stream->files[file].tokens);
    free(stream->files);
    free(stream->token_files);
    free(stream->weight);
    free(stream->window);
    free(stream);
}

const StreamFacts *stream_facts(const Stream *stream) { return &stream->facts; }

Status stream_tokenizer(const Stream *stream, Tokenizer **tokenizer) {
    const StreamFacts *facts = &stream->facts;
    const bool bytes = strcmp(facts->tokenizer, "bytes") == 0 && !*facts->tokenizer_sha256;
    return bytes ? tokenizer_open(NULL, tokenizer)
                 : tokenizer_files_open(facts->tokenizer_files, stream->files[0].facts->path, tokenizer);
}

int64_t stream_seq_len(const Stream *stream) { return stream->options.seq_len; }

int64_t stream_samples(const Stream *stream) { return stream->facts.samples; }
int64_t stream_file_samples(const Stream *stream, int file) { return stream->files[file].shuffle.windows; }
const TokensFacts *stream_file(const Stream *stream, int file) { return stream->files[file].facts; }

const char *stream_shared_file(const Stream *a, const Stream *b) {
    for (int i = 0; i < a->options.file_count; i++)
        for (int j = 0; j < b->options.file_count; j++)
            if (tokens_same_file(a->token_files[i], b->token_files[j])) return a->files[i].facts->path;
    return NULL;
}

StreamPlace stream_place(const Stream *stream, int64_t sample) {
    int64_t index;
    int number = mixture_file(&stream->mixture, sample, &index);
    const Shuffle *shuffle = &stream->files[number].shuffle;
    int64_t epoch = index / shuffle->windows, window = index % shuffle->windows;
    if (stream->options.shuffle) window = shuffle_window(shuffle, epoch, window);
    return (StreamPlace){number, window * stream->options.seq_len};
}

static void widen(const void *tokens, int width, int64_t first, int64_t count, int32_t *out) {
    if (width == 2) {
        const uint16_t *from = (const uint16_t *)tokens + first;
        for (int64_t i = 0; i < count; i++) out[i] = from[i];
    } else {
        const uint32_t *from = (const uint32_t *)tokens + first;
        for (int64_t i = 0; i < count; i++) out[i] = (int32_t)from[i];
    }
}

static Status read_window(Stream *stream, StreamPlace place) {
    const TokensFacts *facts = stream->files[place.file].facts;
    int64_t needed = stream->options.seq_len + 1;
    for (int64_t done = 0; done < needed;) {
        int64_t chunk = (place.start + done) / facts->chunk_tokens, first = (place.start + done) % facts->chunk_tokens;
        int64_t count = smaller(facts->chunk_tokens - first, needed - done);
        const void *tokens;
        Status status = chunk_cache_pin(stream->cache, place.file, chunk, &tokens);
        if (status) return status;
        widen(tokens, facts->width, first, count, stream->window + done);
        chunk_cache_unpin(stream->cache, place.file, chunk);
        done += count;
    }
    return OK;
}

static void prefetch_sample(Stream *stream, int64_t sample) {
    StreamPlace place = stream_place(stream, sample);
    int64_t chunk_tokens = stream->files[place.file].facts->chunk_tokens;
    int64_t last = (place.start + stream->options.seq_len) / chunk_tokens;
    for (int64_t chunk = place.start / chunk_tokens; chunk <= last; chunk++)
        chunk_cache_want(stream->cache, place.file, chunk);
}

/* How many samples to prefetch: as many as fit into half of the cache if all chunks are as long as those of the first
 * file. */
static int64_t lookahead_samples(const Stream *stream) {
    int64_t chunks = stream->options.seq_len / stream->files[0].facts->chunk_tokens + 2;
    int64_t samples = chunk_cache_slots(stream->cache) / (2 * chunks);
    return smaller(samples, LOOKAHEAD_SAMPLES);
}

/* Requests the chunks of the reads that are expected after `sample`. */
static void prefetch_ahead(Stream *stream, int64_t sample, int64_t count) {
    if (stream->options.threads == 0 || stream->stride <= 0) return;
    int64_t reads = divide_up(lookahead_samples(stream), count);
    int64_t end = sample + (reads + 1) * stream->stride;
    if (stream->next_prefetch <= sample) stream->next_prefetch = sample + stream->stride;
    for (; stream->next_prefetch < end; stream->next_prefetch += stream->stride)
        for (int64_t i = 0; i < count; i++) prefetch_sample(stream, stream->next_prefetch + i);
}

static void learn_stride(Stream *stream, int64_t sample, int64_t count) {
    int64_t step = stream->previous_sample < 0 ? count : sample - stream->previous_sample;
    if (step != stream->stride) {
        stream->stride = step;
        stream->next_prefetch = 0;
    }
    stream->previous_sample = sample;
}

/* Checks from time to time that the files are unchanged. Chunks in the cache are not read again, so if a whole file
 * fits into it, a change would go unnoticed. */
static Status check_unchanged(Stream *stream) {
    const double now = seconds_now();
    if (now - stream->looked < look_every_seconds) return OK;
    Status status = OK;
    for (int i = 0; i < stream->options.file_count && status == OK; i++)
        status = tokens_check_unchanged(stream->files[i].tokens);
    stream->looked = now;
    return status;
}

static int32_t *row(int32_t *array, int64_t index, int64_t length) { return array ? array + index * length : NULL; }

Status stream_read(Stream *stream, int64_t sample, int64_t count, int32_t *tokens, int32_t *labels, int32_t *segment,
                   int32_t *position) {
    CHECK(sample >= 0 && count >= 1, "samples %lld + %lld", (long long)sample, (long long)count);
    const StreamOptions *options = &stream->options;
    int64_t seq_len = options->seq_len;
    PackOptions pack = {seq_len, options->context_len, options->varlen, options->mask_boundaries};
    const Status unchanged = check_unchanged(stream);
    if (unchanged != OK) return unchanged;
    learn_stride(stream, sample, count);
    prefetch_ahead(stream, sample, count);
    for (int64_t i = 0; i < count; i++) {
        StreamPlace place = stream_place(stream, sample + i);
        Status status = read_window(stream, place);
        if (status) return status;
        const TokensFacts *facts = stream->files[place.file].facts;
        memcpy(tokens + i * seq_len, stream->window, (size_t)seq_len * sizeof *tokens);
        pack_window(&pack, facts->doc_ends, facts->documents, place.start, stream->window, labels + i * seq_len,
                    row(segment, i, seq_len), row(position, i, seq_len));
    }
    return OK;
}

void stream_accounting(const Stream *stream, int64_t sample, int64_t *tokens) {
    mixture_counts(&stream->mixture, sample, tokens);
    for (int file = 0; file < stream->options.file_count; file++) tokens[file] *= stream->options.seq_len;
}
