/* How fast a model reads prompts and generates. */
#ifndef FLAME_COMMANDS_BENCH_GENERATION_H
#define FLAME_COMMANDS_BENCH_GENERATION_H

#include "training/session.h"

typedef struct GenerationRates {
    double read, generated; /* tokens per second, of all sequences together */
    int64_t carried_bytes;  /* what the model remembers in the end, of all sequences */
} GenerationRates;

/* Times B random prompts of `prompt` tokens each and `count` more tokens of each, the most probable ones, after some
 * that are not timed. Collective. */
GenerationRates bench_generation(const Session *session, DType type, int64_t B, int64_t prompt, int64_t count);

#endif
