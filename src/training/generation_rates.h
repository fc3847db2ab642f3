/* How fast a model reads prompts and generates. */
#ifndef FLAME_TRAINING_GENERATION_RATES_H
#define FLAME_TRAINING_GENERATION_RATES_H

#include "training/session.h"

typedef struct GenerationRates {
    double read, generated; /* tokens per second, of all sequences together */
    int64_t carried_bytes;  /* what the model remembers in the end, of all sequences */
} GenerationRates;

enum { GENERATION_WARM_UP = 3 }; /* tokens that are not timed */

/* Times B random prompts of `prompt` tokens each and `count` more tokens of each, the most probable ones, after
 * GENERATION_WARM_UP that are not timed. Between steps of a training. Collective. */
GenerationRates generation_rates(const Session *session, DType type, int64_t B, int64_t prompt, int64_t count);

#endif
