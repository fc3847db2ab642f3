/* Goes on with texts, token by token: the prompts are read in pieces, and then each call gives one more token of each
 * sequence. Sequences of different lengths begin with padding, as a document of its own in front of the text. */
#ifndef FLAME_TRAINING_GENERATION_H
#define FLAME_TRAINING_GENERATION_H

#include "text/token_ids.h"
#include "training/runner.h"
#include "training/sampling.h"

typedef struct GenerationOptions {
    SamplingOptions sampling;
    uint64_t seed; /* what sequence `first` + b draws as its t-th token depends on nothing but seed, b and t */
    int64_t first;
} GenerationOptions;

typedef struct Generation Generation;

/* The runner for `count` prompts side by side of at most `longest` tokens each, and `more` tokens of each. */
RunnerOptions generation_runner(DType type, int64_t count, int64_t longest, int64_t more);

/* Begins `count` <= B sequences, one for each prompt, of at least one token each. The runner was created with
 * RunnerOptions.tokens and must outlive the generation. */
Generation *generation_begin(Runner *runner, const TokenIds prompts[], int64_t count, GenerationOptions options);
void generation_end(Generation *generation);

/* Reads the next piece of the prompts: false once they are read. *read, *all: tokens of the longest one. Collective. */
bool generation_read(Generation *generation, int64_t *read, int64_t *all);
/* The next token of each sequence, after the prompts are read; valid until the next call. NULL: the model's logits are
 * not finite. Collective. */
const int32_t *generation_step(Generation *generation);

#endif
