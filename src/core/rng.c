#include "core/rng.h"

#include <math.h>

enum { WORDS = 4 }; /* of a block: one element each */

void rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        const uint64_t x = (uint64_t)0xD2511F53u * c0, y = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(y >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)y;
        c2 = (uint32_t)(x >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)x;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* FNV-1a. */
uint64_t rng_key(const char *name) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name; name++) hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    return hash;
}

static void block_of(uint64_t seed, uint64_t key, int64_t block, uint32_t words[WORDS]) {
    const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)key, (uint32_t)(key >> 32)};
    const uint32_t seeds[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    rng_philox(counter, seeds, words);
}

/* In (0, 1): never an end. */
static double unit_interval(uint32_t word) { return ((double)word + 0.5) * 0x1p-32; }

static void uniform_block(const uint32_t words[WORDS], double values[WORDS]) {
    for (int i = 0; i < WORDS; i++) values[i] = unit_interval(words[i]);
}

static void normal_block(const uint32_t words[WORDS], double values[WORDS]) {
    for (int i = 0; i < WORDS; i += 2) {
        const double radius = sqrt(-2 * log(unit_interval(words[i]))),
                     angle = 6.283185307179586477 * unit_interval(words[i + 1]);
        values[i] = radius * cos(angle);
        values[i + 1] = radius * sin(angle);
    }
}

/* out[i] = offset + scale * element, over the blocks that the range touches. */
static void fill(uint64_t seed, uint64_t key, int64_t first, int64_t count, double offset, double scale,
                 void (*values_of)(const uint32_t *words, double *values), float *out) {
    const int64_t end = first + count;
#pragma omp parallel for if (count > 4096)
    for (int64_t block = first / WORDS; block < (end + WORDS - 1) / WORDS; block++) {
        uint32_t words[WORDS];
        double values[WORDS];
        block_of(seed, key, block, words);
        values_of(words, values);
        for (int i = 0; i < WORDS; i++) {
            const int64_t element = block * WORDS + i;
            if (element >= first && element < end) out[element - first] = (float)(offset + scale * values[i]);
        }
    }
}

void rng_uniform(uint64_t seed, uint64_t key, int64_t first, int64_t count, double low, double high, float *out) {
    fill(seed, key, first, count, low, high - low, uniform_block, out);
    const float limit = nextafterf((float)high, (float)low);
    for (int64_t i = 0; i < count; i++) /* rounding to float may have reached the end */
        if (out[i] >= (float)high && high > low) out[i] = limit;
}

void rng_normal(uint64_t seed, uint64_t key, int64_t first, int64_t count, double mean, double deviation, float *out) {
    fill(seed, key, first, count, mean, deviation, normal_block, out);
}
