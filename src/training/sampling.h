/* Chooses the next token from a model's logits. */
#ifndef FLAME_TRAINING_SAMPLING_H
#define FLAME_TRAINING_SAMPLING_H

#include <stdint.h>

/* The options apply in this order, as in transformers' generate: penalty, temperature, top_k, top_p. */
typedef struct SamplingOptions {
    double repetition_penalty; /* logits of tokens that occurred before are divided by it, or multiplied if negative
                                  (CTRL, arXiv 1909.05858); 1: no penalty */
    double temperature;        /* 0: the most probable token; of equally probable ones, the first */
    int64_t top_k;             /* keep the k most probable tokens, and those as probable as the k-th; 0: all */
    double top_p; /* keep the fewest most probable tokens that together have probability p, in (0, 1]; 1: all (nucleus
                     sampling, arXiv 1904.09751) */
} SamplingOptions;

typedef struct Sampler Sampler;

Sampler *sampler_create(SamplingOptions options, int64_t vocabulary);
void sampler_destroy(Sampler *sampler);

/* The next token of a sequence whose tokens so far are `seen`. Changes the logits [vocabulary]. `unit` is a random
 * number, uniform in [0, 1). Returns -1 if a logit is NaN or the largest is infinite. */
int32_t sampler_draw(Sampler *sampler, float *logits, const int32_t *seen, int64_t count, double unit);

#endif
