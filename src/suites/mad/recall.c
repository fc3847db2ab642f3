/* MAD's in-context recall and noisy in-context recall (Poli et al. 2024, arXiv 2403.17844): a sequence of keys, each
 * followed by its value. The value of a key that was seen before is to be predicted. The noisy form puts pairs of noise
 * tokens in between.
 *
 *   x       0 4 0 4 3 7 2 4 0 4 3        ids: keys [0, n/2), values [n/2, n), noise [n, vocab_size)
 *   scored  . . 4 . . . . . 4 . 7
 *
 * Training predicts every next token, or with `clean` only what tests predict. */
#include "suites/mad/mad_folder.h"
#include "suites/mad/mad.h"

#include "base/log.h"

typedef struct Recall {
    int64_t vocab_size, seq_len, noise_vocab_size;
    double frac_noise;
    bool clean;
} Recall;

enum { NO_VALUE = -1, KEYS_MOST = 1 << 16 };

#define CLEAN_KEY                                                                                                      \
    KEY(Recall, clean, KEY_BOOLEAN, "false", 0, 0, NULL, "train on the values of keys seen before only, as in tests")

static const Key recall_keys[] = {
    KEY(Recall, vocab_size, KEY_INTEGER, "16", 4, KEYS_MOST, NULL, "tokens: half of them keys, half values"),
    KEY(Recall, seq_len, KEY_INTEGER, "128", 4, 1 << 20, NULL, "tokens, of which the model reads all but the last"),
    CLEAN_KEY,
};

static const Key noisy_keys[] = {
    KEY(Recall, vocab_size, KEY_INTEGER, "32", 4, KEYS_MOST, NULL, "tokens, those of noise included"),
    KEY(Recall, seq_len, KEY_INTEGER, "128", 4, 1 << 20, NULL, "tokens, of which the model reads all but the last"),
    KEY(Recall, noise_vocab_size, KEY_INTEGER, "16", 1, KEYS_MOST, NULL, "tokens that are noise"),
    KEY(Recall, frac_noise, KEY_REAL, "0.2", 0, 1, NULL, "probability that a pair is noise"),
    CLEAN_KEY,
};

static int64_t recalled(const Recall *c) { return c->vocab_size - c->noise_vocab_size; }

static Status recall_check(const void *config) {
    const Recall *c = config;
    if (c->seq_len % 2 == 0 && recalled(c) >= 4 && recalled(c) % 2 == 0) return OK;
    if (c->seq_len % 2 != 0)
        log_error("task.seq_len must be even, as keys and values take turns; it is %lld", (long long)c->seq_len);
    else
        log_error("task.vocab_size must leave an even number of at least 4 tokens for keys and values: %lld - %lld of "
                  "noise",
                  (long long)c->vocab_size, (long long)c->noise_vocab_size);
    return USAGE;
}

static TaskSizes recall_sizes(const void *config) {
    const Recall *c = config;
    return (TaskSizes){.T = c->seq_len - 1, .tokens = c->vocab_size, .classes = c->vocab_size};
}

/* The accuracy of a guess among the values. */
static double recall_trivial(const void *config) { return mad_guess(recalled(config) / 2); }

/* Draws one of the keys that have a value, each with the same probability. */
static int64_t draw_seen(Draws *draws, const int32_t *value_of, int64_t keys) {
    int64_t seen = 0, key = -1;
    for (int64_t k = 0; k < keys; k++) seen += value_of[k] != NO_VALUE;
    int64_t left = draw_below(draws, seen);
    do key++;
    while (value_of[key] == NO_VALUE || left-- > 0);
    return key;
}

typedef struct Pair {
    int32_t first, second;
    bool known; /* the second token follows from what came before */
} Pair;

static Pair draw_noise(const Recall *c, Draws *draws) {
    const int64_t first = draw_below(draws, c->noise_vocab_size), second = draw_below(draws, c->noise_vocab_size);
    return (Pair){(int32_t)(recalled(c) + first), (int32_t)(recalled(c) + second), false};
}

static Pair key_pair(const Recall *c, Draws *draws, int64_t key, int32_t *value_of) {
    const int64_t keys = recalled(c) / 2;
    const bool known = value_of[key] != NO_VALUE;
    if (!known) value_of[key] = (int32_t)(keys + draw_below(draws, keys));
    return (Pair){(int32_t)key, value_of[key], known};
}

/* One pair is protected from noise, so that the last key has one to repeat. */
static void recall_generate(const void *config, uint64_t seed, Draws *draws, bool test, Example e) {
    (void)seed;
    const Recall *c = config;
    const int64_t keys = recalled(c) / 2, pairs = c->seq_len / 2, protected = draw_below(draws, pairs);
    int32_t *value_of = mad_numbers(keys, NO_VALUE);
    bool any = false, answers = test || c->clean;
    for (int64_t i = 0; i < pairs; i++) {
        const bool last = i == pairs - 1, noise = !last && i != protected && draw_chance(draws, c->frac_noise);
        Pair p;
        if (noise)
            p = draw_noise(c, draws);
        else if (last && any)
            p = key_pair(c, draws, draw_seen(draws, value_of, keys), value_of);
        else
            p = key_pair(c, draws, draw_below(draws, keys), value_of);
        any |= !noise;
        e.inputs[2 * i] = p.first;
        e.labels[2 * i] = answers && !p.known ? IGNORED_LABEL : p.second;
        if (i > 0) e.labels[2 * i - 1] = answers ? IGNORED_LABEL : p.first;
        if (!last) e.inputs[2 * i + 1] = p.second;
    }
    free(value_of);
}

static const Split recall_splits[] = LONGER_SPLITS;

static const char *const recall_sweep[] = {VOCABULARIES_32_64_128, LENGTHS_256_512_1024, FEWER_EXAMPLES, NULL};
static const char *const noisy_sweep[] = {"task.vocab_size=48",  "task.vocab_size=80",  "task.vocab_size=144",
                                          LENGTHS_256_512_1024,  FEWER_EXAMPLES,        "task.frac_noise=0.4",
                                          "task.frac_noise=0.6", "task.frac_noise=0.8", NULL};

const Task in_context_recall = {.name = "in_context_recall",
                                .meaning = "name the value that a key had earlier",
                                .form = TASK_CAUSAL,
                                .keys = recall_keys,
                                .key_count = LENGTH(recall_keys),
                                .config_size = sizeof(Recall),
                                .sweep = recall_sweep,
                                .splits = recall_splits,
                                .files = &mad_files,
                                .check = recall_check,
                                .sizes = recall_sizes,
                                .generate = recall_generate,
                                .trivial = recall_trivial};

const Task noisy_in_context_recall = {.name = "noisy_in_context_recall",
                                      .meaning = "name the value that a key had earlier, with noise between",
                                      .form = TASK_CAUSAL,
                                      .keys = noisy_keys,
                                      .key_count = LENGTH(noisy_keys),
                                      .config_size = sizeof(Recall),
                                      .sweep = noisy_sweep,
                                      .splits = recall_splits,
                                      .files = &mad_files,
                                      .check = recall_check,
                                      .sizes = recall_sizes,
                                      .generate = recall_generate,
                                      .trivial = recall_trivial};
