/* Measures how fast a model reads prompts and generates tokens. */
#ifndef FLAME_TRAINING_GENERATION_RATES_H
#define FLAME_TRAINING_GENERATION_RATES_H

#include "training/session.h"

typedef struct GenerationRates {
    double read, generated; /* tokens per second, over all sequences */
    int64_t carried_bytes;  /* what the model remembers of all sequences at the end */
} GenerationRates;

enum { GENERATION_WARM_UP = 3 }; /* tokens generated before the timed ones */

/* Times the reading of B random prompts of `prompt` tokens each, and the generation of `count` tokens of each, always
 * the most probable one, after GENERATION_WARM_UP tokens. May be called between training steps. Collective. */
GenerationRates generation_rates(const Session *session, DType type, int64_t B, int64_t prompt, int64_t count);

#endif
