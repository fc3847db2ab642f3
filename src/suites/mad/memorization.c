/* MAD's memorization: a fixed map from keys to values, the same in all examples, must be memorised. V - 1 tokens are
 * keys and values; the last token asks for a value:
 *
 *   x       k a k' a k" a ...            a = V - 1
 *   scored  . v .  v' .  v"
 *
 * The values are assigned to keys without repetition. If the number of tokens is odd, one value belongs to no key. */
#include "suites/mad/mad_folder.h"
#include "suites/mad/mad.h"

#include "base/log.h"

typedef struct Memorization {
    int64_t vocab_size, seq_len;
} Memorization;

static const Key memorization_keys[] = {
    KEY(Memorization, vocab_size, KEY_INTEGER, "256", 3, 1 << 20, NULL, "tokens: keys, values and one that asks"),
    KEY(Memorization, seq_len, KEY_INTEGER, "32", 2, 1 << 20, NULL, "tokens: twice the questions"),
};

static Status memorization_check(const void *config) {
    const Memorization *c = config;
    if (c->seq_len % 2 == 0) return OK;
    log_error("task.seq_len must be even: a key and the question about it; it is %lld", (long long)c->seq_len);
    return USAGE;
}

static TaskSizes memorization_sizes(const void *config) {
    const Memorization *c = config;
    return (TaskSizes){.T = c->seq_len, .tokens = c->vocab_size, .classes = c->vocab_size};
}

static int64_t keys_of(const Memorization *c) { return (c->vocab_size - 1) / 2; }

static double memorization_trivial(const void *config) { return mad_guess(keys_of(config)); }

static void memorization_generate(const void *config, uint64_t seed, Draws *draws, bool test, Example e) {
    (void)test;
    const Memorization *c = config;
    const int64_t keys = keys_of(c), values = c->vocab_size - 1 - keys;
    int32_t *value_of = mad_numbers(values, 0);
    for (int64_t v = 0; v < values; v++) value_of[v] = (int32_t)(keys + v);
    Draws map = draws_begin(seed, "memorization/map", c->vocab_size);
    draw_order(&map, value_of, values);
    for (int64_t i = 0; i < c->seq_len; i += 2) {
        const int64_t key = draw_below(draws, keys);
        e.inputs[i] = (int32_t)key;
        e.labels[i] = IGNORED_LABEL;
        e.inputs[i + 1] = (int32_t)(c->vocab_size - 1);
        e.labels[i + 1] = value_of[key];
    }
    free(value_of);
}

static const Split memorization_splits[] = LONGER_SPLITS;

static const char *const memorization_sweep[] = {"task.vocab_size=512",  "task.vocab_size=1024", "task.vocab_size=2048",
                                                 "task.vocab_size=4096", "task.vocab_size=8192", NULL};

const Task memorization = {.name = "memorization",
                           .meaning = "learn a fixed map from keys to values by heart",
                           .form = TASK_CAUSAL,
                           .keys = memorization_keys,
                           .key_count = LENGTH(memorization_keys),
                           .config_size = sizeof(Memorization),
                           .protocol = "training.examples=256",
                           .quick = "training.examples=256 training.epochs=30 training.evaluate_every=20",
                           .sweep = memorization_sweep,
                           .splits = memorization_splits,
                           .files = &mad_files,
                           .seeded = true,
                           .check = memorization_check,
                           .sizes = memorization_sizes,
                           .generate = memorization_generate,
                           .trivial = memorization_trivial};
