/* Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011). Element i of a sequence is a function of (seed,
 * key, i), so any rank can generate any part of a sequence and gets the same values. */
#ifndef FLAME_BASE_RNG_H
#define FLAME_BASE_RNG_H

#include <stdint.h>

/* The generator: ten rounds over a counter block, with a key. */
void rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* The key of a sequence: a hash of its name, such as that of a parameter. */
uint64_t rng_key(const char *name);

/* out[i] = element first + i, for i < count, uniform in [low, high). */
void rng_uniform(uint64_t seed, uint64_t key, int64_t first, int64_t count, double low, double high, float *out);
/* The same, normally distributed, by the Box-Muller transform of pairs of elements. */
void rng_normal(uint64_t seed, uint64_t key, int64_t first, int64_t count, double mean, double deviation, float *out);

#endif
