/* Continues texts token by token. The prompts are read in pieces; then each step generates one more token of each
 * sequence. Shorter prompts are padded in front; the padding is a document of its own. */
#ifndef FLAME_TRAINING_GENERATION_H
#define FLAME_TRAINING_GENERATION_H

#include "text/token_ids.h"
#include "training/runner.h"
#include "training/sampling.h"

typedef struct GenerationOptions {
    SamplingOptions sampling;
    uint64_t seed; /* the random draw for token t of sequence b depends on nothing but seed, `first` + b and t */
    int64_t first;
} GenerationOptions;

typedef struct Generation Generation;

/* Options of a runner for `count` prompts side by side, each of at most `longest` tokens, and `more` new tokens of
 * each. */
RunnerOptions generation_runner(DType type, int64_t count, int64_t longest, int64_t more);

/* Begins `count` <= B sequences, one for each prompt. Each prompt has at least one token. The runner was created with
 * RunnerOptions.tokens and must outlive the generation. */
Generation *generation_begin(Runner *runner, const TokenIds prompts[], int64_t count, GenerationOptions options);
void generation_end(Generation *generation);

/* Reads the next piece of the prompts, and returns whether there is more to read. *read and *all: how many tokens of
 * the longest prompt have been read, and how many it has. Collective. */
bool generation_read(Generation *generation, int64_t *read, int64_t *all);
/* The next token of each sequence, once the prompts have been read. Valid until the next call. NULL: the model's logits
 * are not finite. Collective. */
const int32_t *generation_step(Generation *generation);

#endif
