#include "base/draws.h"

#include "base/check.h"
#include "base/rng.h"

enum { WORDS = 4 };

Draws draws_begin(uint64_t seed, const char *name, int64_t number) {
    const uint64_t key = seed ^ rng_key(name);
    return (Draws){.counter = {0, 0, (uint32_t)number, (uint32_t)((uint64_t)number >> 32)},
                   .key = {(uint32_t)key, (uint32_t)(key >> 32)},
                   .used = WORDS};
}

static uint32_t draw_word(Draws *draws) {
    if (draws->used == WORDS) {
        rng_philox(draws->counter, draws->key, draws->word);
        if (++draws->counter[0] == 0) draws->counter[1]++;
        draws->used = 0;
    }
    return draws->word[draws->used++];
}

int64_t draw_below(Draws *draws, int64_t n) {
    CHECK(n >= 1 && n <= (INT64_C(1) << 32), "a draw from %lld numbers", (long long)n);
    const uint64_t all = UINT64_C(1) << 32, fair = all - all % (uint64_t)n;
    uint64_t word;
    do word = draw_word(draws);
    while (word >= fair);
    return (int64_t)(word % (uint64_t)n);
}

int64_t draw_between(Draws *draws, int64_t low, int64_t high) { return low + draw_below(draws, high - low + 1); }

double draw_unit(Draws *draws) {
    const uint64_t high = draw_word(draws) >> 5, low = draw_word(draws) >> 6;
    return (double)(high << 26 | low) * 0x1p-53;
}

bool draw_chance(Draws *draws, double p) { return draw_unit(draws) < p; }

void draw_order(Draws *draws, int32_t *value, int64_t count) {
    for (int64_t i = count - 1; i > 0; i--) {
        const int64_t j = draw_below(draws, i + 1);
        const int32_t swapped = value[i];
        value[i] = value[j];
        value[j] = swapped;
    }
}

static bool contains(const int32_t *value, int64_t count, int64_t wanted) {
    for (int64_t i = 0; i < count; i++)
        if (value[i] == wanted) return true;
    return false;
}

/* Floyd's algorithm chooses the set of numbers. Their order is then drawn. */
void draw_different(Draws *draws, int64_t first, int64_t n, int64_t count, int32_t *value) {
    CHECK(count <= n, "%lld different numbers of %lld", (long long)count, (long long)n);
    for (int64_t i = 0; i < count; i++) {
        const int64_t last = first + n - count + i, drawn = draw_between(draws, first, last);
        value[i] = (int32_t)(contains(value, i, drawn) ? last : drawn);
    }
    draw_order(draws, value, count);
}
