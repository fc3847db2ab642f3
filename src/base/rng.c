#include "base/rng.h"

#include <math.h>
#include <string.h>

/* A block of Philox is 4 words, which give one element each. BLOCKS blocks are generated together, so that loops over
 * them vectorise. */
enum { WORDS = 4, BLOCKS = 32, GROUP = BLOCKS * WORDS };

/* Ten rounds over counters. words[w][b] is word w of block b, in the low half of 64 bits: products of two words need no
 * conversion then. */
static inline void philox(int blocks, uint64_t words[WORDS][blocks], uint32_t k0, uint32_t k1) {
    for (int round = 0; round < 10; round++) {
        for (int b = 0; b < blocks; b++) {
            const uint64_t x = 0xD2511F53u * words[0][b], y = 0xCD9E8D57u * words[2][b];
            words[0][b] = (y >> 32) ^ words[1][b] ^ k0;
            words[1][b] = (uint32_t)y;
            words[2][b] = (x >> 32) ^ words[3][b] ^ k1;
            words[3][b] = (uint32_t)x;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

void rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    uint64_t words[WORDS][1] = {{counter[0]}, {counter[1]}, {counter[2]}, {counter[3]}};
    philox(1, words, key[0], key[1]);
    for (int w = 0; w < WORDS; w++) out[w] = (uint32_t)words[w][0];
}

/* FNV-1a. */
uint64_t rng_key(const char *name) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name; name++) hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    return hash;
}

static void group_words(uint64_t seed, uint64_t key, int64_t first_block, uint64_t words[WORDS][BLOCKS]) {
    for (int b = 0; b < BLOCKS; b++) {
        const uint64_t block = (uint64_t)first_block + (uint64_t)b;
        words[0][b] = (uint32_t)block;
        words[1][b] = (uint32_t)(block >> 32);
        words[2][b] = (uint32_t)key;
        words[3][b] = (uint32_t)(key >> 32);
    }
    philox(BLOCKS, words, (uint32_t)seed, (uint32_t)(seed >> 32));
}

/* Maps a word to the open interval (0, 1). */
static inline double unit_interval(uint64_t word) { return ((double)(uint32_t)word + 0.5) * 0x1p-32; }

static void uniform_group(uint64_t words[WORDS][BLOCKS], double values[WORDS][BLOCKS]) {
    for (int w = 0; w < WORDS; w++)
        for (int b = 0; b < BLOCKS; b++) values[w][b] = unit_interval(words[w][b]);
}

/* log, sin and cos for Box-Muller with an error below 1e-13, without branches, so that loops over them vectorise; those
 * of libm would take ten times as long. The results are rounded to float, so that compilers which round the last bits
 * of a double differently give the same values. */

/* log u = n log 2 + 2 atanh s with u = 2^n m, sqrt(1/2) <= m < sqrt(2) and s = (m - 1) / (m + 1); 0 < u < 1. */
static inline double log_of(double u) {
    union {
        double value;
        int64_t bits;
    } m = {.value = u};
    const int64_t n = (m.bits - 0x3fe6a09e667f3bcd) >> 52;
    m.bits -= n * ((int64_t)1 << 52); /* a shift of a negative number is undefined */
    const double s = (m.value - 1) / (m.value + 1), z = s * s;
    double p = 1.0 / 17;
    p = p * z + 1.0 / 15;
    p = p * z + 1.0 / 13;
    p = p * z + 1.0 / 11;
    p = p * z + 1.0 / 9;
    p = p * z + 1.0 / 7;
    p = p * z + 1.0 / 5;
    p = p * z + 1.0 / 3;
    return (double)(int32_t)n * 0.693147180559945309 + 2 * (s + s * z * p);
}

/* sin and cos of 2 pi t, 0 < t < 1. Both are minus their values at 2 pi (t - 1/2). The Taylor series is evaluated at a
 * quarter of that angle, and the angle is doubled twice. */
static inline void sin_cos_of(double t, double *sin_t, double *cos_t) {
    const double a = (t - 0.5) * 1.57079632679489662, z = a * a;
    double p = -1.0 / 1307674368000, q = -1.0 / 87178291200;
    p = p * z + 1.0 / 6227020800, q = q * z + 1.0 / 479001600;
    p = p * z - 1.0 / 39916800, q = q * z - 1.0 / 3628800;
    p = p * z + 1.0 / 362880, q = q * z + 1.0 / 40320;
    p = p * z - 1.0 / 5040, q = q * z - 1.0 / 720;
    p = p * z + 1.0 / 120, q = q * z + 1.0 / 24;
    p = p * z - 1.0 / 6, q = q * z - 1.0 / 2;
    const double s = a + a * z * p, c = 1 + z * q;
    const double s2 = 2 * s * c, c2 = 1 - 2 * s * s;
    *sin_t = -2 * s2 * c2;
    *cos_t = 2 * s2 * s2 - 1;
}

static void normal_group(uint64_t words[WORDS][BLOCKS], double values[WORDS][BLOCKS]) {
    for (int w = 0; w < WORDS; w += 2)
#pragma omp simd
        for (int b = 0; b < BLOCKS; b++) {
            const double radius = sqrt(-2 * log_of(unit_interval(words[w][b])));
            double sin_t, cos_t;
            sin_cos_of(unit_interval(words[w + 1][b]), &sin_t, &cos_t);
            values[w][b] = radius * cos_t;
            values[w + 1][b] = radius * sin_t;
        }
}

/* out[i] = offset + scale * element first + i. Generates the groups that overlap the range and copies the overlaps. */
static void fill(uint64_t seed, uint64_t key, int64_t first, int64_t count, double offset, double scale,
                 void (*values_of)(uint64_t words[WORDS][BLOCKS], double values[WORDS][BLOCKS]), float *out) {
    const int64_t end = first + count;
#pragma omp parallel for if (count > 4096)
    for (int64_t group = first / GROUP; group < (end + GROUP - 1) / GROUP; group++) {
        uint64_t words[WORDS][BLOCKS];
        double values[WORDS][BLOCKS];
        group_words(seed, key, group * BLOCKS, words);
        values_of(words, values);
        float made[GROUP];
        for (int w = 0; w < WORDS; w++)
            for (int b = 0; b < BLOCKS; b++) made[b * WORDS + w] = (float)(offset + scale * values[w][b]);
        const int64_t start = group * GROUP, from = first > start ? first - start : 0;
        const int64_t to = end - start < GROUP ? end - start : GROUP;
        memcpy(out + (start + from - first), made + from, (size_t)(to - from) * sizeof *out);
    }
}

void rng_uniform(uint64_t seed, uint64_t key, int64_t first, int64_t count, double low, double high, float *out) {
    fill(seed, key, first, count, low, high - low, uniform_group, out);
    const float limit = nextafterf((float)high, (float)low);
    for (int64_t i = 0; i < count; i++) /* rounding to float may give `high` itself */
        if (out[i] >= (float)high && high > low) out[i] = limit;
}

void rng_normal(uint64_t seed, uint64_t key, int64_t first, int64_t count, double mean, double deviation, float *out) {
    fill(seed, key, first, count, mean, deviation, normal_group, out);
}
