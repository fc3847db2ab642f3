/* MQAR, multi-query associative recall (Arora et al. 2023, Zoology, arXiv 2312.04927): pairs of a key and its value,
 * then each key once more somewhere among random tokens; there its value is to be named.
 *
 *   x       5 19 2 30 | 11 7 2 28 9 4 5 1        keys [1, V/2), values [V/2, V), two pairs
 *   scored  . .  . .  | .  . 30 . . . 19 .
 *
 * Slot s = 1, 2, ... of the places for queries has weight s^(power_a - 1), so that near places are likelier. Tokens
 * between are random, and may be keys or values by chance, or 0 with random_non_queries: false. */
#include "suites/mqar.h"

#include <math.h>
#include <stdlib.h>

#include "base/log.h"

typedef struct Mqar {
    int64_t vocab_size, seq_len, num_kv_pairs, num_passes;
    double power_a;
    bool random_non_queries;
} Mqar;

static const Key mqar_keys[] = {
    KEY(Mqar, vocab_size, KEY_INTEGER, "8192", 4, 1 << 20, NULL, "tokens: the lower half keys, the upper values"),
    KEY(Mqar, seq_len, KEY_INTEGER, "64", 4, 1 << 20, NULL, "tokens"),
    KEY(Mqar, num_kv_pairs, KEY_INTEGER, "4", 1, 1 << 18, NULL, "pairs"),
    KEY(Mqar, num_passes, KEY_INTEGER, "1", 1, 64, NULL, "how often the pairs are shown; 2: read twice"),
    KEY(Mqar, power_a, KEY_REAL, "0.01", 0, 1, NULL, "1: queries anywhere alike; 0: near the pairs"),
    KEY(Mqar, random_non_queries, KEY_BOOLEAN, "true", 0, 0, NULL, "other places hold random tokens, else 0"),
};

static int64_t context_of(const Mqar *c) { return 2 * c->num_kv_pairs * c->num_passes; }

static Status mqar_check(const void *config) {
    const Mqar *c = config;
    const int64_t least = context_of(c) + 2 * c->num_kv_pairs;
    if (c->seq_len % 2 == 0 && c->seq_len >= least && c->num_kv_pairs <= c->vocab_size / 2 - 1) return OK;
    if (c->seq_len % 2 != 0)
        log_error("task.seq_len must be even: queries lie at even places; it is %lld", (long long)c->seq_len);
    else if (c->seq_len < least)
        log_error("task.seq_len must be at least %lld for %lld pairs shown %lld times and asked for once; it is %lld",
                  (long long)least, (long long)c->num_kv_pairs, (long long)c->num_passes, (long long)c->seq_len);
    else
        log_error("task.num_kv_pairs must be at most vocab_size / 2 - 1 = %lld, as keys do not repeat; it is %lld",
                  (long long)(c->vocab_size / 2 - 1), (long long)c->num_kv_pairs);
    return USAGE;
}

static TaskSizes mqar_sizes(const void *config) {
    const Mqar *c = config;
    return (TaskSizes){.T = c->seq_len, .tokens = c->vocab_size, .classes = c->vocab_size};
}

/* A guess among the values of the sequence. */
static double mqar_trivial(const void *config) { return 1.0 / (double)((const Mqar *)config)->num_kv_pairs; }

typedef struct Place {
    double priority;
    int64_t slot;
} Place;

static int by_priority(const void *a, const void *b) {
    const Place *x = a, *y = b;
    return x->priority > y->priority ? -1 : x->priority < y->priority;
}

/* The slots by weight, without repeats: in the order of ln(weight) plus Gumbel noise (Efraimidis and Spirakis, 2006).
 * The caller frees them. */
static Place *draw_places(const Mqar *c, Draws *draws, int64_t slots) {
    Place *place = malloc((size_t)slots * sizeof *place);
    CHECK(place, "out of memory");
    for (int64_t s = 0; s < slots; s++)
        place[s] = (Place){(c->power_a - 1) * log((double)s + 1) - log(-log(draw_unit(draws) + 0x1p-54)), s};
    qsort(place, (size_t)slots, sizeof *place, by_priority);
    return place;
}

static void write_context(const Mqar *c, const int32_t *key, const int32_t *value, int32_t *inputs) {
    for (int64_t i = 0; i < context_of(c); i += 2) {
        const int64_t pair = i / 2 % c->num_kv_pairs;
        inputs[i] = key[pair];
        inputs[i + 1] = value[pair];
    }
}

static void mqar_generate(const void *config, uint64_t seed, Draws *draws, bool test, Example e) {
    (void)seed;
    (void)test;
    const Mqar *c = config;
    const int64_t pairs = c->num_kv_pairs, context = context_of(c), half = c->vocab_size / 2;
    int32_t *key = malloc((size_t)(2 * pairs) * sizeof *key), *value = key + pairs;
    CHECK(key, "out of memory");
    draw_different(draws, 1, half - 1, pairs, key);
    draw_different(draws, half, c->vocab_size - half, pairs, value);
    Place *place = draw_places(c, draws, (c->seq_len - context) / 2);
    for (int64_t t = 0; t < c->seq_len; t++) {
        e.labels[t] = IGNORED_LABEL;
        e.inputs[t] = t >= context && c->random_non_queries ? (int32_t)draw_below(draws, c->vocab_size) : 0;
    }
    write_context(c, key, value, e.inputs);
    for (int64_t i = 0; i < pairs; i++) {
        const int64_t t = context + 2 * place[i].slot;
        e.inputs[t] = key[i];
        e.labels[t] = value[i];
    }
    free(place);
    free(key);
}

static const char *const mqar_sweep[] = {"task.seq_len=128 task.num_kv_pairs=8",
                                         "task.seq_len=256 task.num_kv_pairs=16",
                                         "task.seq_len=512 task.num_kv_pairs=64", NULL};

static const Split mqar_splits[] = {{"length 2x", "task.seq_len=2x"},
                                    {"length 4x", "task.seq_len=4x"},
                                    {"length 8x", "task.seq_len=8x"},
                                    {"pairs 2x", "task.seq_len=2x task.num_kv_pairs=2x"},
                                    {"pairs 4x", "task.seq_len=4x task.num_kv_pairs=4x"},
                                    {NULL, NULL}};

const Task mqar = {.name = "mqar",
                   .meaning = "name the values of several keys, asked for anywhere later",
                   .form = TASK_CAUSAL,
                   .keys = mqar_keys,
                   .key_count = LENGTH(mqar_keys),
                   .config_size = sizeof(Mqar),
                   .sweep = mqar_sweep,
                   .splits = mqar_splits,
                   .check = mqar_check,
                   .sizes = mqar_sizes,
                   .generate = mqar_generate,
                   .trivial = mqar_trivial};
