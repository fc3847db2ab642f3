/* Chooses the next token from a model's logits. */
#ifndef FLAME_TRAINING_SAMPLING_H
#define FLAME_TRAINING_SAMPLING_H

#include <stdint.h>

/* In this order, as transformers' generate does: penalty, temperature, the k most probable tokens, the most probable
 * tokens that have the share p of the probability together. */
typedef struct SamplingOptions {
    double repetition_penalty; /* 1: none. Logits of tokens that were there before: divided by it, or if negative
                                  multiplied (CTRL, arXiv 1909.05858) */
    double temperature;        /* 0: the most probable token, of equal ones the first */
    int64_t top_k;             /* 0: all; those that are as probable as the k-th stay too */
    double top_p;              /* in (0, 1]; 1: all (nucleus sampling, arXiv 1904.09751) */
} SamplingOptions;

typedef struct Sampler Sampler;

Sampler *sampler_create(SamplingOptions options, int64_t vocabulary);
void sampler_destroy(Sampler *sampler);

/* The next token of a sequence whose tokens so far are `seen`. Changes the logits [vocabulary]. `unit`: a random
 * number, uniform in [0, 1). -1: a logit is NaN, or the largest is infinite. */
int32_t sampler_draw(Sampler *sampler, float *logits, const int32_t *seen, int64_t count, double unit);

#endif
