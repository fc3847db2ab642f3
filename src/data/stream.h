/* Training data as an endless, numbered row of samples.
 *
 * Sample number s (0, 1, 2, ... across epochs, for ever) is a pure function of the options and s: which file (mixing),
 * which epoch of it, which window (a keyed permutation, new in each epoch). So there is nothing to save but the number,
 * any rank may ask for any sample, a seek costs nothing, and the number of ranks or threads changes nothing.
 *
 * A sample is seq_len + 1 consecutive tokens of one file: windows start every seq_len tokens, so that each token is a
 * target once per epoch; what is left after the last full window is not used. */
#ifndef FLAME_DATA_STREAM_H
#define FLAME_DATA_STREAM_H

#include "base/check.h"
#include "data/pack.h" /* IGNORED_LABEL */
#include "data/tokens_facts.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct StreamOptions {
    const char *const *files;    /* token files (docs/data-format.md) */
    const double *probabilities; /* share of the samples per file, any positive scale; NULL: in proportion to size */
    int file_count;
    int64_t seq_len;
    int64_t context_len;  /* with varlen: longer documents are cut into spans of this many tokens; 0: not cut */
    bool varlen;          /* documents of a window are separate: segment counts them, position restarts */
    bool mask_boundaries; /* a label that is the first token of the next document becomes -100 */
    bool shuffle;         /* false: windows in order, and without probabilities one file after the other */
    uint64_t seed;
    int threads;        /* reader threads; 0: stream_read does all the work itself */
    int64_t vocab_size; /* the model's: a file with a larger vocabulary is refused; 0: not checked */
} StreamOptions;

/* One file, seq_len 2048, shuffled, boundaries masked, 2 threads. Set `files` and what else differs. */
StreamOptions stream_default_options(void);

typedef struct StreamFacts {
    int64_t memory;                        /* bytes that decoded chunks and tables take at most, on each rank */
    int64_t samples;                       /* in one epoch: the windows of all files */
    int64_t tokens, documents;             /* in all files */
    int64_t vocab_size;                    /* the largest of the files */
    int64_t bos_token_id;                  /* -1: none */
    int64_t eos_token_id;                  /* -1: none */
    const char *tokenizer;                 /* name; "bytes" is the built-in one */
    const char *tokenizer_sha256;          /* 64 hex digits, or "" */
    const TokenizerFiles *tokenizer_files; /* of the first file that has them */
    uint64_t fingerprint; /* of files, mixing, seed and lengths: equal means that sample s has the same tokens */
} StreamFacts;

typedef struct Stream Stream;

/* Opens and checks every file. BAD_INPUT (logged) for a file that breaks a rule of the format, files of different
 * tokenizers, a file shorter than one sample or listed twice, wrong probabilities; IO_ERROR if a file cannot be read.
 */
Status stream_open(const StreamOptions *options, Stream **stream);
void stream_close(Stream *stream);

const StreamFacts *stream_facts(const Stream *stream);
/* The number of full samples in one epoch (of all files). */
int64_t stream_samples(const Stream *stream);
/* What file number `file` says of itself. */
const TokensFacts *stream_file(const Stream *stream, int file);
/* The name of a file that both streams read, by whatever names; NULL: there is none. */
const char *stream_shared_file(const Stream *a, const Stream *b);

/* Fills `count` sequences: samples sample, sample + 1, ... Each array is [count, seq_len], owned by the caller;
 * segment and position may be NULL. labels[t] is the next token, or -100 where the next token begins another document
 * (unless mask_boundaries is off). Without varlen segment is 0 and position is t.
 * BAD_INPUT: damaged data (the message names file and chunk). IO_ERROR: the file cannot be read any more, or has been
 * replaced. Calls on one stream must not overlap. */
Status stream_read(Stream *stream, int64_t sample, int64_t count, int32_t *tokens, int32_t *labels, int32_t *segment,
                   int32_t *position);

/* Hint: reads of `count` samples at first_sample, first_sample + stride, ... will follow. The reader threads go ahead
 * from there. Without hints the stride is learnt from the last two reads. */
void stream_prefetch(Stream *stream, int64_t first_sample, int64_t stride, int64_t count);

/* How many tokens of each file the samples 0 .. sample - 1 hold (seq_len per sample). tokens: [file_count]. Exact. */
void stream_accounting(const Stream *stream, int64_t sample, int64_t *tokens);

#endif
