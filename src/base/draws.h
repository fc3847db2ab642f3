/* A stream of random draws from Philox (base/rng.h). Streams of different (seed, name, number) are independent, so
 * example number n of a data set is the same whichever examples are made before it. */
#ifndef FLAME_BASE_DRAWS_H
#define FLAME_BASE_DRAWS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Draws {
    uint32_t counter[4], key[2];
    uint32_t word[4]; /* the generator's output for the present counter */
    int used;         /* how many of these words have been drawn */
} Draws;

Draws draws_begin(uint64_t seed, const char *name, int64_t number);

/* Uniform in 0 .. n - 1, without bias (by rejection). 1 <= n <= 2^32. */
int64_t draw_below(Draws *draws, int64_t n);
/* Uniform in low .. high, both included. */
int64_t draw_between(Draws *draws, int64_t low, int64_t high);
/* Uniform in [0, 1), a multiple of 2^-53. */
double draw_unit(Draws *draws);
/* True with probability p. */
bool draw_chance(Draws *draws, double p);
/* Puts the values in a uniformly random order (Fisher-Yates). */
void draw_order(Draws *draws, int32_t *value, int64_t count);
/* Draws `count` different numbers from first .. first + n - 1, in random order. Each ordered choice is equally
 * likely. */
void draw_different(Draws *draws, int64_t first, int64_t n, int64_t count, int32_t *value);

#endif
