/* Training data as an endless, numbered sequence of samples.
 *
 * Sample number s (0, 1, 2, ..., continuing across epochs) is a pure function of the options and s: the mixture selects
 * the file and the epoch, and a keyed permutation, new in each epoch, selects the window. So the only state to save is
 * the number of the next sample, any rank can read any sample, and ranks and threads do not change the data.
 *
 * A sample is a window of seq_len + 1 consecutive tokens of one file. Windows start every seq_len tokens, so that each
 * token is a target once per epoch. Tokens after the last full window are not used. */
#ifndef FLAME_DATA_STREAM_H
#define FLAME_DATA_STREAM_H

#include "base/check.h"
#include "base/labels.h"
#include "data/tokens_facts.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct StreamOptions {
    const char *const *files;    /* token files (docs/data-format.md) */
    const double *probabilities; /* share of each file among the samples, on any scale; NULL: in proportion to size */
    int file_count;
    int64_t seq_len;
    int64_t context_len;  /* with varlen: longer documents are cut into spans of this many tokens; 0: not cut */
    bool varlen;          /* documents do not see each other: segment numbers them, position restarts in each */
    bool mask_boundaries; /* a label that would be the first token of the next document becomes -100 */
    bool shuffle;         /* false: windows in file order */
    bool concatenate;     /* one file after the other, not in proportion; neither with shuffle nor with probabilities */
    uint64_t seed;
    int threads;        /* reader threads that decode ahead; 0: none, stream_read decodes */
    int64_t vocab_size; /* the model's: a file with a larger vocabulary is refused; 0: not checked */
} StreamOptions;

/* Options for one file, seq_len 2048, shuffled, with boundaries masked and 2 threads. The caller sets `files` and
 * whatever else differs. */
StreamOptions stream_default_options(void);

typedef struct StreamFacts {
    int64_t memory;                        /* upper limit of the bytes of decoded chunks and tables, per rank */
    int64_t samples;                       /* in one epoch, of all files */
    int64_t tokens, documents;             /* in all files */
    int64_t vocab_size;                    /* of the tokenizer, which all files share */
    int64_t bos_token_id;                  /* -1: none */
    int64_t eos_token_id;                  /* -1: none */
    const char *tokenizer;                 /* name; "bytes" is the built-in one */
    const char *tokenizer_sha256;          /* 64 hex digits, or "" */
    const TokenizerFiles *tokenizer_files; /* of the first file that contains them */
    uint64_t fingerprint; /* hash of contents, mixture, seed and seq_len; equal: every sample s has the same tokens */
} StreamFacts;

typedef struct Stream Stream;

/* Opens and checks every file. BAD_INPUT (logged) if a file breaks a rule of the format, is shorter than one sample or
 * is listed twice, if the files have different tokenizers, or if the probabilities are invalid; IO_ERROR (logged) if a
 * file cannot be read. */
Status stream_open(const StreamOptions *options, Stream **stream);
void stream_close(Stream *stream);

const StreamFacts *stream_facts(const Stream *stream);
/* Opens the tokenizer of the files; *tokenizer is NULL if none of them contains it. BAD_INPUT (logged) if it cannot be
 * used. */
Status stream_tokenizer(const Stream *stream, Tokenizer **tokenizer);
/* Tokens of a sample. */
int64_t stream_seq_len(const Stream *stream);
/* stream_facts()->samples. */
int64_t stream_samples(const Stream *stream);
/* How many samples of an epoch come from file number `file`. */
int64_t stream_file_samples(const Stream *stream, int file);
/* The facts of file number `file`. */
const TokensFacts *stream_file(const Stream *stream, int file);
/* The path of a file that both streams read (compared by inode, not by name), or NULL. */
const char *stream_shared_file(const Stream *a, const Stream *b);

/* Where a sample's seq_len + 1 tokens are: `start` is the index of the first in the file. */
typedef struct StreamPlace {
    int file;
    int64_t start;
} StreamPlace;
StreamPlace stream_place(const Stream *stream, int64_t sample);

/* Reads the samples sample .. sample + count - 1. Each array is [count, seq_len] and belongs to the caller; segment and
 * position may be NULL. labels[t] is the next token; with mask_boundaries it is -100 where the next token begins
 * another document. Without varlen segment is 0 and position is t. BAD_INPUT if data are damaged (the message names
 * file and chunk), IO_ERROR if the file cannot be read any more or was replaced. Calls on one stream must not overlap.
 */
Status stream_read(Stream *stream, int64_t sample, int64_t count, int32_t *tokens, int32_t *labels, int32_t *segment,
                   int32_t *position);

/* tokens[file]: how many tokens of each file are in the samples 0 .. sample - 1, counting seq_len per sample. Exact. */
void stream_accounting(const Stream *stream, int64_t sample, int64_t *tokens);

#endif
