/* Random numbers without a state: Philox4x32-10 (Salmon et al., SC 2011), where element i is a function of (seed, key,
 * i). Any part of a sequence can be asked for, by any rank, and is the same. */
#ifndef FLAME_BASE_RNG_H
#define FLAME_BASE_RNG_H

#include <stdint.h>

/* The generator itself: ten rounds of the counter under the key. */
void rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* A sequence's key from its name (a parameter's). */
uint64_t rng_key(const char *name);

/* out[i] = element first + i, i < count, uniform in [low, high). */
void rng_uniform(uint64_t seed, uint64_t key, int64_t first, int64_t count, double low, double high, float *out);
/* The same, normally distributed (Box-Muller over the two halves of each block). */
void rng_normal(uint64_t seed, uint64_t key, int64_t first, int64_t count, double mean, double deviation, float *out);

#endif
